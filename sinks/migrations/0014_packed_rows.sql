-- What counts of an account now is read at every request. What a statement over a few rows costs is the number of columns
-- and files: so each row stands once more in one text, and a part is one file. At last, rows of before are stored so.

ALTER TABLE current_rows MODIFY SETTING min_bytes_for_wide_part = 1099511627776, min_rows_for_wide_part = 1099511627776;

ALTER TABLE current_rows ADD COLUMN IF NOT EXISTS packed String DEFAULT concat('[', toJSONString(kind), ',', toJSONString(id), ',', toString(toUnixTimestamp64Milli(ends)), ',', toJSONString(status), ',', toJSONString(credit_types), ',', toString(amounts), ',', toJSONString(charged_types), ',', toString(charged_amounts), ',', toString(balance_after), ',', ifNull(toJSONString(plan), 'null'), ',', ifNull(toString(toUnixTimestamp64Milli(plan_started_at)), 'null'), ',', ifNull(toString(toUnixTimestamp64Milli(plan_ends_at)), 'null'), ',', toJSONString(reason), ',', toString(toUnixTimestamp64Milli(at)), ',', toString(source_partition), ',', toString(source_offset), ',', toString(version), ']');

OPTIMIZE TABLE current_rows FINAL;

ALTER TABLE latest_balance_rows MODIFY SETTING min_bytes_for_wide_part = 1099511627776, min_rows_for_wide_part = 1099511627776;

ALTER TABLE latest_balance_rows ADD COLUMN IF NOT EXISTS packed String DEFAULT concat('[', '"balance"', ',', toJSONString(credit_type), ',', toJSONString(origin), ',', toString(balance_after), ',', toString(toUnixTimestamp64Milli(at)), ',', toString(source_partition), ',', toString(source_offset), ',', toString(version), ']');

OPTIMIZE TABLE latest_balance_rows FINAL;
