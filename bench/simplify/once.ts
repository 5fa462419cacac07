// Simplifies MODEL into OUT once in a fresh process, without comparing outputs; prints one JSON answer. Usage: once MODEL OUT
// `ms` is from file to file, after the imports: what bench/peers/simplify_onnxslim.py times.
import { simplifyFile } from "../../src/measure/simplify-file.ts";

const [input = "", output = ""] = process.argv.slice(2);
const start = performance.now();
await simplifyFile(input, output, { check: false });
process.stdout.write(JSON.stringify({ ms: performance.now() - start }));
