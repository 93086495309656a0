#!/usr/bin/env bash
# Sends three request events of each account with kcat: one message an account. Avro's command line tools make the bytes.
set -euo pipefail

if (($# < 4)); then
  echo "usage: AVRO_TOOLS=avro-tools.jar send.sh SCHEMA BOOTSTRAP_SERVERS TOPIC ACCOUNT_ID..." >&2
  exit 2
fi
schema=$1 bootstrap_servers=$2 topic=$3
shift 3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

avro() { java -jar "${AVRO_TOOLS:?is to be the path of avro-tools.jar}" "$@"; }

# The framing: c3 01, then the schema's fingerprint, least significant byte first.
fingerprint=$(avro fingerprint --fingerprint CRC-64-AVRO "$schema" | cut -d ' ' -f 1)
framing=$(sed 's/../\\x&/g' <<<"c301$fingerprint")

# Avro's JSON has every field of the schema, and names the type of a value that may be null. The event_id is made once,
# and kept when the event is sent again.
event() { # event ACCOUNT_ID ENDPOINT OUTCOME REQUEST_ID IP DOMAIN QUANTITIES ATTRIBUTES
  cat <<END
{"event_id": "$(id)", "account_id": "$1", "occurred_at": $(date +%s%3N), "endpoint": "$2", "channel": "api",
 "outcome": "$3", "request_id": $4, "actor": null, "user_id": null, "ip": $5, "domain": $6, "plan": null,
 "quantities": $7, "attributes": $8}
END
}
id() { cat /proc/sys/kernel/random/uuid; }

for account in "$@"; do
  cat >"$folder/batch.json" <<END
{"events": [
$(event "$account" /v1/ip-lookup processed null '{"string": "203.0.113.7"}' null '{}' '{}'),
$(event "$account" /v1/company-enrichment processed "{\"string\": \"$(id)\"}" null '{"string": "example.com"}' \
    '{"companies": 1}' '{"description": "Zoë, Example Inc."}'),
$(event "$account" /v1/ip-lookup invalid null null null '{}' '{}')
]}
END
  {
    printf '%b' "$framing"
    avro jsontofrag --schema-file "$schema" "$folder/batch.json"
  } >"$folder/message"
  # A file is one message. librdkafka's own default partitioner is another hash than the one that is needed.
  kcat -P -b "$bootstrap_servers" -t "$topic" -k "$account" -H creditmeter-producer=kcat-example \
    -X partitioner=murmur2_random -X enable.idempotence=true "$folder/message"
  echo "sent: $account"
done
