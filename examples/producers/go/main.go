// Sends three request events of each account: one message an account.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/soe"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if len(os.Args) < 5 {
		log.Fatal("usage: send SCHEMA BOOTSTRAP_SERVERS TOPIC ACCOUNT_ID...")
	}
	if err := send(os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		log.Fatal(err)
	}
}

func send(schemaFile, bootstrapServers, topic string, accounts []string) error {
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		return err
	}
	schema, err := avro.ParseBytes(text)
	if err != nil {
		return err
	}
	// The framing: c3 01, the schema's fingerprint, then the record.
	codec, err := soe.NewCodec(schema)
	if err != nil {
		return err
	}
	// The client's defaults are right: keys are hashed as by Java's client, acks=all, idempotent.
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrapServers), kgo.ProducerLinger(20*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()

	records := make([]*kgo.Record, 0, len(accounts))
	for _, account := range accounts {
		value, err := codec.Encode(batch(account))
		if err != nil {
			return err
		}
		records = append(records, &kgo.Record{
			Topic:   topic,
			Key:     []byte(account), // the plain account_id
			Value:   value,
			Headers: []kgo.RecordHeader{{Key: "creditmeter-producer", Value: []byte("go-example")}},
		})
	}
	results := client.ProduceSync(context.Background(), records...)
	if err := results.FirstErr(); err != nil {
		return err // the broker did not take it: then send it again
	}
	for _, result := range results {
		fmt.Printf("%s[%d]@%d\n", result.Record.Topic, result.Record.Partition, result.Record.Offset)
	}
	return nil
}

// batch is a RequestBatch of three events of one account.
func batch(account string) map[string]any {
	now := time.Now().UnixMilli()
	lookup := event(account, now, "/v1/ip-lookup", "processed")
	lookup["ip"] = "203.0.113.7"
	company := event(account, now, "/v1/company-enrichment", "processed")
	company["domain"] = "example.com"
	company["request_id"] = rand.Text()
	company["quantities"] = map[string]int64{"companies": 1}
	company["attributes"] = map[string]string{"description": "Zoë, Example Inc."}
	return map[string]any{"events": []any{lookup, company, event(account, now, "/v1/ip-lookup", "invalid")}}
}

// event has the required fields. What is left out has a default: null, or an empty map.
func event(account string, at int64, endpoint, outcome string) map[string]any {
	return map[string]any{
		"event_id":    rand.Text(), // made once, and kept when the event is sent again
		"account_id":  account,
		"occurred_at": at,
		"endpoint":    endpoint,
		"channel":     "api",
		"outcome":     outcome,
	}
}
