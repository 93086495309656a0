-- Once nothing has come for a month for a day, its parts become one. A month that is one part has no row twice, so that
-- FINAL, which every reader asks for, has nothing to do there: sums over an account's year take a quarter of the time.

ALTER TABLE billed_rows MODIFY SETTING min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;

ALTER TABLE refund_rows MODIFY SETTING min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;
