import type { z } from "zod";

/** A schema's complaints as one clause: 'image.crop: expected number'. */
export const describeIssues = (error: z.ZodError): string =>
  error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.length > 0 ? `${issue.path.join(".")}: ` : ""}${issue.message.replace(/\.$/, "")}`)
    .join("; ");
