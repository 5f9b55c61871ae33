#!/usr/bin/env python3
"""A consumer of the indexer's messages that survives repeats and retractions; see docs/MESSAGES.md.

    pip install pika
    indexer bind-queue nft
    python3 docs/consumer.py --amqp 'amqp://guest:guest@127.0.0.1:5672/%2f' --queue nft --database nft.sqlite

It keeps every fact in SQLite with one bit: whether the fact stands. The rule is the one of docs/MESSAGES.md:

    on fact:        if not standing(id):       apply it; standing(id) = true
    on retraction:  if standing(retracts.id):  undo it;  standing(retracts.id) = false

- A repeat finds the fact standing, a retraction of a fact that never arrived finds nothing: neither changes anything.
- A fact that comes again after its retraction stands again. So ids seen once are not skipped for good.
- A message is acknowledged after its transaction is committed. A crash in between brings it back, and the rule absorbs it.
- History may arrive after newer blocks. Where order matters, ids decide: within a chain they sort in chain order.

One consumer per queue: two would take a fact and its retraction out of order, so the subscription is exclusive.
`apply` and `undo` are the places for what another service derives. Both run in the transaction that sets the bit.
"""

import argparse
import json
import sqlite3
import sys
import time

SCHEMA_VERSION = 1

SCHEMA = """
create table if not exists facts (
    id       text primary key,
    chain    text not null,
    kind     text not null,
    block    integer not null,
    contract text,
    token_id text,
    standing integer not null,
    body     text not null
);
create index if not exists facts_of_token on facts (chain, contract, token_id, id) where standing = 1;

-- Owners of single-owner tokens: the newest standing movement decides. SQLite takes the other columns from the row of max(id).
create view if not exists owners as
select chain, contract, token_id, json_extract(body, '$.to') as owner, max(id) as since
from facts
where standing = 1 and kind in ('mint', 'transfer', 'burn') and json_extract(body, '$.standard') <> 'erc1155'
group by chain, contract, token_id;
"""


class Unreadable(Exception):
    """A message that this program must not guess the meaning of."""


def open_store(path: str) -> sqlite3.Connection:
    store = sqlite3.connect(path, isolation_level=None)
    store.execute("pragma journal_mode = wal")
    store.execute("pragma synchronous = full")
    store.executescript(SCHEMA)
    return store


def apply(store: sqlite3.Connection, fact: dict) -> None:
    """What follows from a fact that did not stand before. Here: nothing, `owners` is computed from `facts`."""


def undo(store: sqlite3.Connection, fact: dict) -> None:
    """Takes back what `apply` did for the same fact."""


def handle(store: sqlite3.Connection, message: dict) -> bool:
    """Applies one message; returns whether anything changed."""
    if message.get("schema_version") != SCHEMA_VERSION:
        raise Unreadable(f"schema version {message.get('schema_version')}, this consumer reads {SCHEMA_VERSION}")
    store.execute("begin immediate")
    try:
        changed = retract(store, message) if message["kind"] == "retraction" else stand(store, message)
        store.execute("commit")
        return changed
    except BaseException:
        store.execute("rollback")
        raise


def stand(store: sqlite3.Connection, fact: dict) -> bool:
    row = (
        fact["id"],
        fact["chain"],
        fact["kind"],
        fact["block"]["number"],
        fact.get("contract"),  # none in a cancel, which is about a market's orders
        fact.get("token_id"),
        json.dumps(fact, separators=(",", ":")),
    )
    done = store.execute(
        "insert into facts (id, chain, kind, block, contract, token_id, standing, body) values (?, ?, ?, ?, ?, ?, 1, ?)"
        " on conflict (id) do update set standing = 1, body = excluded.body where standing = 0",
        row,
    )
    if done.rowcount == 1:
        apply(store, fact)
    return done.rowcount == 1


def retract(store: sqlite3.Connection, retraction: dict) -> bool:
    taken_back = retraction["retracts"]["id"]
    done = store.execute("update facts set standing = 0 where id = ? and standing = 1", (taken_back,))
    if done.rowcount == 1:
        (body,) = store.execute("select body from facts where id = ?", (taken_back,)).fetchone()
        undo(store, json.loads(body))
    return done.rowcount == 1


def consume(store: sqlite3.Connection, url: str, queue: str) -> None:
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=100)
    for method, _properties, body in channel.consume(queue, exclusive=True):
        handle(store, json.loads(body))
        channel.basic_ack(method.delivery_tag)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--amqp", default="amqp://guest:guest@127.0.0.1:5672/%2f", help="URL of the broker")
    parser.add_argument("--queue", default="nft", help="a durable queue that is bound to the exchange")
    parser.add_argument("--database", default="nft.sqlite", help="SQLite file")
    options = parser.parse_args()
    from pika.exceptions import AMQPConnectionError

    store = open_store(options.database)
    while True:
        try:
            consume(store, options.amqp, options.queue)
        except AMQPConnectionError as error:
            print(f"the broker is away, trying again in 5 s: {error!r}", file=sys.stderr)
            time.sleep(5)
        except Unreadable as error:
            # Neither acknowledged nor rejected: it stays in the queue for a consumer that knows the version.
            print(f"stopped: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main())
