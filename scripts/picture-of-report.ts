// Takes the README's picture of a report: tsx scripts/picture-of-report.ts out/report.html docs/images/report.png
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { launchBrowser } from "../test/e2e/browser.ts";

const [report, picture] = process.argv.slice(2);
if (!report || !picture) {
  console.error("usage: tsx scripts/picture-of-report.ts REPORT.html PICTURE.png");
  process.exit(1);
}
const browser = await launchBrowser();
// sharp on dense screens, and no taller than a reader scrolls past
const page = await browser.newPage({ viewport: { width: 1000, height: 1250 }, deviceScaleFactor: 1.5 });
await page.goto(pathToFileURL(resolve(report)).href, { waitUntil: "load" });
await page.screenshot({ path: picture });
await browser.close();
