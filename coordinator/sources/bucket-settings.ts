import { z } from "zod";

/** Where buckets are, as far as the environment of the AWS SDK does not say it. Credentials come from there alone. */
export const BucketSettings = z.strictObject({
  /** URL of an S3-compatible service; absent: AWS. */
  endpoint: z.string().optional(),
  region: z.string().optional(),
  /** Names the bucket in the path and not in the host, as most services beside AWS want it. */
  pathStyle: z.boolean().optional(),
});
export type BucketSettings = z.infer<typeof BucketSettings>;
