-- Which rows came with the newest messages: what came since an instant is found without reading an account's other rows.

ALTER TABLE billed_rows ADD INDEX IF NOT EXISTS newest source_offset TYPE minmax GRANULARITY 1;

ALTER TABLE billed_rows MATERIALIZE INDEX newest;
