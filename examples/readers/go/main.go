// Adds up each account's credits, from where it was until nothing more comes, and counts each line once.
package main

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/crypto/blake2b"
)

const quiet = 5 * time.Second

func main() {
	if len(os.Args) != 6 {
		log.Fatal("usage: read SCHEMAS BOOTSTRAP_SERVERS TOPIC SEAL_KEY BILL_FILE")
	}
	if err := read(os.Args[1], os.Args[2], os.Args[3], []byte(os.Args[4]), os.Args[5]); err != nil {
		log.Fatal(err)
	}
}

func read(schemaFolder, bootstrapServers, topic string, sealKey []byte, billFile string) error {
	schemas, err := releasedSchemas(schemaFolder)
	if err != nil {
		return err
	}
	bill, err := loadBill(billFile)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrapServers),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // offsets that were deleted are an error
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	partitions, err := partitionsOf(client, topic)
	if err != nil {
		return err
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: bill.offsets(partitions)})
	for {
		some, err := poll(client)
		if err != nil || len(some) == 0 {
			bill.print()
			return err
		}
		for _, record := range some {
			if err := bill.count(record, schemas, sealKey); err != nil {
				return err
			}
		}
		if err := bill.save(billFile); err != nil { // lines and positions together: in a database, one transaction
			return err
		}
	}
}

func partitionsOf(client *kgo.Client, topic string) ([]int32, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = append(request.Topics, kmsg.MetadataRequestTopic{Topic: &topic})
	response, err := request.RequestWith(context.Background(), client)
	if err != nil {
		return nil, err
	}
	var partitions []int32
	for _, described := range response.Topics {
		if err := kerr.ErrorForCode(described.ErrorCode); err != nil {
			return nil, fmt.Errorf("%s: %w", topic, err)
		}
		for _, partition := range described.Partitions {
			partitions = append(partitions, partition.Partition)
		}
	}
	return partitions, nil
}

// poll returns the next records, in order within each partition; none where nothing came for a while.
func poll(client *kgo.Client) ([]*kgo.Record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), quiet)
	defer cancel()
	fetches := client.PollFetches(ctx)
	if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return fetches.Records(), nil
}

// releasedSchemas are all versions of BilledBatch by their fingerprint, as it stands in a message.
func releasedSchemas(folder string) (map[[8]byte]avro.Schema, error) {
	files, err := filepath.Glob(filepath.Join(folder, "history", "BilledBatch.*.avsc"))
	if err != nil {
		return nil, err
	}
	schemas := map[[8]byte]avro.Schema{}
	for _, file := range append(files, filepath.Join(folder, "BilledBatch.avsc")) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		// A cache of its own: all versions have the same names.
		schema, err := avro.ParseBytesWithCache(text, "", &avro.SchemaCache{})
		if err != nil {
			return nil, err
		}
		fingerprint, err := schema.FingerprintUsing(avro.CRC64AvroLE)
		if err != nil {
			return nil, err
		}
		schemas[[8]byte(fingerprint)] = schema
	}
	return schemas, nil
}

// billedBatch has the fields of the schema that are needed here.
type billedBatch struct {
	SourceOffset int64        `avro:"source_offset"`
	Part         int          `avro:"part"`
	Events       []billedLine `avro:"events"`
}

type billedLine struct {
	AccountID string `avro:"account_id"`
	Credits   int64  `avro:"credits"`
}

// position is how far a partition was read: the next offset, and the last message that counts.
type position struct{ Offset, SourceOffset, Part int64 }

// theBill is credits by account, and the positions up to which they are complete: one file.
type theBill struct {
	Accounts  map[string]int64
	Positions map[int32]position
}

func loadBill(file string) (*theBill, error) {
	bill := &theBill{Accounts: map[string]int64{}, Positions: map[int32]position{}}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return bill, nil
	}
	if err != nil {
		return nil, err
	}
	return bill, json.Unmarshal(text, bill)
}

// save leaves the old bill or the new one in the file, whatever happens.
func (bill *theBill) save(file string) error {
	text, err := json.Marshal(bill)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".next", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".next", file)
}

func (bill *theBill) print() {
	accounts := make([]string, 0, len(bill.Accounts))
	for account := range bill.Accounts {
		accounts = append(accounts, account)
	}
	slices.Sort(accounts)
	for _, account := range accounts {
		fmt.Println(account, bill.Accounts[account])
	}
}

// offsets are where to begin: after what the bill has, else at the beginning.
func (bill *theBill) offsets(partitions []int32) map[int32]kgo.Offset {
	offsets := map[int32]kgo.Offset{}
	for _, partition := range partitions {
		offsets[partition] = kgo.NewOffset().AtStart()
		if last, seen := bill.Positions[partition]; seen {
			offsets[partition] = kgo.NewOffset().At(last.Offset)
		}
	}
	return offsets
}

// count adds a record's lines, unless it is a stray one or was counted before.
func (bill *theBill) count(record *kgo.Record, schemas map[[8]byte]avro.Schema, sealKey []byte) error {
	place := fmt.Sprintf("%s[%d]@%d", record.Topic, record.Partition, record.Offset)
	if !isSealed(record, sealKey) {
		log.Printf("%s: a stray record, not written by the pipeline: it is skipped", place)
		return nil
	}
	schema, known := schemas[[8]byte(record.Value[2:10])]
	if !known {
		return fmt.Errorf("%s: written with a newer schema than those in the folder", place)
	}
	var batch billedBatch
	if err := avro.Unmarshal(schema, record.Value[10:], &batch); err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	last, seen := bill.Positions[record.Partition]
	if seen && (batch.SourceOffset < last.SourceOffset ||
		(batch.SourceOffset == last.SourceOffset && int64(batch.Part) <= last.Part)) {
		return nil
	}
	for _, line := range batch.Events {
		bill.Accounts[line.AccountID] += line.Credits
	}
	bill.Positions[record.Partition] = position{record.Offset + 1, batch.SourceOffset, int64(batch.Part)}
	return nil
}

// isSealed tells whether the header `seal` is BLAKE2b of topic, zero byte, partition and value, with the pipeline's key.
func isSealed(record *kgo.Record, key []byte) bool {
	hash, err := blake2b.New(16, key)
	if err != nil {
		return false
	}
	hash.Write(append([]byte(record.Topic), 0))
	_ = binary.Write(hash, binary.BigEndian, record.Partition)
	hash.Write(record.Value)
	for _, header := range record.Headers {
		if header.Key == "seal" {
			return hmac.Equal(header.Value, hash.Sum(nil))
		}
	}
	return false
}
