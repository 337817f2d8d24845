import { table } from "//tools/table.ts";

/** An object of targets: //codes:status.sources and //codes:status.library. */
export const status = table("codes", "status.tsv");
