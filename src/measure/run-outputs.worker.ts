import { type DataType, Tensor } from "../ir/index.ts";
import { loadExecutor } from "../runtime/executors.ts";
import { answerJob } from "./job-process.ts";
import { portableTensors, type RunJob, type RunReply } from "./run-outputs.ts";

answerJob(async (job: RunJob): Promise<RunReply> => {
  const executor = await loadExecutor(job.executor);
  const session = await executor.load(job.path, { threads: job.threads });
  const outputs: RunReply["outputs"][number][] = [];
  for (const feeds of job.feeds) {
    const tensors = Object.entries(feeds).map(([name, { dtype, shape, bytes, strings }]) => [
      name,
      new Tensor(dtype as DataType, shape, bytes, strings ? { strings } : {}),
    ]);
    outputs.push(portableTensors(await session.run(Object.fromEntries(tensors))));
  }
  await session.release();
  return { outputs };
});
