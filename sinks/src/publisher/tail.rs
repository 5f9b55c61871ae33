//! Watching messages go by, for `indexer tail`: from the broker through a queue of one's own, or from the outbox without a broker.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use alloy_primitives::Address;
use decoders::block::ChainId;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};

use super::pending::{PendingRow, Snapshot};
use super::{PublisherError, broker, pending};
use crate::message::Message;
use crate::store::Store;

/// Messages sent ahead of the reader.
const UNREAD: u16 = 1_000;
/// Rows read from the outbox at a time.
const PAGE: usize = 1_000;

/// Which messages to show; every field left out means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One chain.
    pub chain: Option<ChainId>,
    /// One kind, such as `mint` or `retraction`.
    pub kind: Option<String>,
    /// One contract.
    pub contract: Option<Address>,
}

impl Filter {
    /// The binding key of a topic exchange that lets exactly these messages through.
    pub fn binding(&self) -> String {
        let chain = self
            .chain
            .map_or_else(|| "*.*".to_owned(), |chain| chain.to_string().replacen(':', ".", 1));
        let contract = self
            .contract
            .map_or_else(|| "#".to_owned(), |contract| format!("{contract:#x}"));
        format!("{chain}.{}.{contract}", self.kind.as_deref().unwrap_or("*"))
    }

    /// Whether `message` is to be shown.
    pub fn admits(&self, message: &Message) -> bool {
        self.chain.is_none_or(|chain| message.chain == chain.to_string())
            && self.kind.as_ref().is_none_or(|kind| *kind == message.kind)
            && self
                .contract
                .is_none_or(|contract| message.contract == format!("{contract:#x}"))
    }
}

/// A message seen on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its outbox number; absent when it came from the broker.
    pub seq: Option<i64>,
    /// `<namespace>.<reference>.<kind>.<contract>`.
    pub routing_key: String,
    /// The JSON body, as sent.
    pub body: Vec<u8>,
}

/// Messages published from now on, through an exclusive queue that ends with the connection. Other consumers miss nothing.
pub async fn from_broker(
    url: &str,
    exchange: &str,
    filter: &Filter,
) -> Result<impl Stream<Item = Result<Seen, PublisherError>> + Send + use<>, PublisherError> {
    let connection = broker::connect(url).await?;
    let channel = connection.create_channel().await?;
    let consumer = subscribe(&channel, exchange, filter).await?;
    // The connection lives as long as the stream that reads from it.
    Ok(stream::try_unfold((connection, channel, consumer), next_delivery))
}

async fn subscribe(channel: &Channel, exchange: &str, filter: &Filter) -> Result<Consumer, PublisherError> {
    broker::declare(channel, broker::name(exchange)?).await?;
    // A queue of its own, gone with the connection: reading along takes no message from a consumer.
    let own = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let queue = channel
        .queue_declare("".into(), own, FieldTable::default())
        .await?
        .name()
        .clone();
    let (exchange, key) = (broker::name(exchange)?, broker::name(&filter.binding())?);
    channel
        .queue_bind(
            queue.clone(),
            exchange,
            key,
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    // A slow reader lets messages wait in the broker instead of in this process.
    channel.basic_qos(UNREAD, BasicQosOptions::default()).await?;
    let alone = BasicConsumeOptions {
        exclusive: true,
        ..BasicConsumeOptions::default()
    };
    Ok(channel
        .basic_consume(queue, "indexer-tail".into(), alone, FieldTable::default())
        .await?)
}

type Subscription = (Connection, Channel, Consumer);

async fn next_delivery(mut from: Subscription) -> Result<Option<(Seen, Subscription)>, PublisherError> {
    let Some(delivery) = from.2.next().await.transpose()? else {
        return Err(PublisherError::Lost);
    };
    delivery.ack(BasicAckOptions::default()).await?;
    let seen = Seen {
        seq: None,
        routing_key: delivery.routing_key.to_string(),
        body: delivery.data,
    };
    Ok(Some((seen, from)))
}

/// Messages in the outbox with a number above `after`, and those that follow when `follow` is given: looked for that often.
///
/// Without `follow` the stream ends after the last one. Rows of a transaction that commits late are shown when they appear.
pub fn from_outbox(
    store: Store,
    after: i64,
    filter: Filter,
    follow: Option<Duration>,
) -> impl Stream<Item = Result<Seen, PublisherError>> + Send {
    let reader = Reader {
        store,
        filter,
        after,
        cursors: BTreeMap::new(),
    };
    let pages = stream::try_unfold(reader, move |mut reader| async move {
        loop {
            let page = reader.page().await?;
            match follow {
                _ if !page.is_empty() => return Ok::<_, PublisherError>(Some((page, reader))),
                Some(interval) => tokio::time::sleep(interval).await,
                None => return Ok(None),
            }
        }
    });
    pages
        .map_ok(|page| stream::iter(page.into_iter().map(Ok)))
        .try_flatten()
        .try_filter_map(std::future::ready)
}

/// Reads the outbox page by page.
struct Reader {
    store: Store,
    filter: Filter,
    after: i64,
    cursors: BTreeMap<ChainId, Cursor>,
}

impl Reader {
    /// The next rows of each chain, in the order they were written; `None` in place of what is not to be shown.
    async fn page(&mut self) -> Result<Vec<Result<Option<Seen>, PublisherError>>, PublisherError> {
        let chains = match self.filter.chain {
            Some(chain) => vec![chain],
            None => pending::chains(&self.store).await?,
        };
        // Before the rows: of a transaction that has ended by now, what follows shows every one.
        let snapshot = pending::snapshot(&self.store).await?;
        let mut rows = Vec::new();
        for chain in chains {
            let cursor = self.cursors.entry(chain).or_insert_with(|| Cursor::new(self.after));
            cursor.date(snapshot);
            let new = pending::rows(&self.store, chain, cursor.from, &cursor.seen(), PAGE).await?;
            new.iter().for_each(|row| cursor.pass(row.seq));
            if new.len() < PAGE {
                cursor.close(snapshot);
            }
            rows.extend(new);
        }
        rows.sort_by_key(|row| row.seq);
        Ok(rows.into_iter().map(|row| Ok(self.show(row))).collect())
    }

    fn show(&self, row: PendingRow) -> Option<Seen> {
        let message = row
            .message
            .unwrap_or_default()
            .filter(|message| self.filter.admits(message))?;
        Some(Seen {
            seq: Some(row.seq),
            routing_key: message.routing_key,
            body: message.body,
        })
    }
}

/// How far one chain's rows were read: everything up to `from`, and beyond it what was seen.
///
/// Numbers are given out before transactions commit, so one that is missing stays open until every transaction that could fill it in
/// has ended, however many rows that has and however long it takes.
#[derive(Debug)]
struct Cursor {
    from: i64,
    /// Numbers above `from`: the first of each run, and the one behind its last.
    seen: BTreeMap<i64, i64>,
    /// Numbers, and the first transaction that had not begun when they were the newest.
    dated: VecDeque<(i64, i64)>,
    newest: i64,
}

impl Cursor {
    fn new(from: i64) -> Self {
        Cursor {
            from,
            seen: BTreeMap::new(),
            dated: VecDeque::new(),
            newest: from,
        }
    }

    /// What was seen, as PostgreSQL writes it.
    fn seen(&self) -> String {
        let runs = self.seen.iter().map(|(first, end)| format!("[{first},{end})"));
        format!("{{{}}}", runs.collect::<Vec<_>>().join(","))
    }

    /// Notes a row as seen.
    fn pass(&mut self, seq: i64) {
        let (mut first, mut end) = (seq, seq + 1);
        if let Some((before, reaches)) = self.seen.range(..=seq).next_back().map(|(first, end)| (*first, *end))
            && reaches >= seq
        {
            (first, end) = (before, end.max(reaches));
        }
        if let Some(reaches) = self.seen.remove(&end) {
            end = reaches;
        }
        self.seen.insert(first, end);
        self.newest = self.newest.max(seq);
    }

    /// Notes that whatever fills in a number up to the newest has begun by now.
    fn date(&mut self, snapshot: Snapshot) {
        if self.dated.back().map_or(self.from, |(number, _)| *number) < self.newest {
            self.dated.push_back((self.newest, snapshot.next));
        }
    }

    /// Closes the numbers that nothing can fill in any more, once all rows that stood after `snapshot` are seen.
    fn close(&mut self, snapshot: Snapshot) {
        while let Some((number, next)) = self.dated.front().copied()
            && next <= snapshot.oldest
        {
            self.dated.pop_front();
            self.from = number;
        }
        let open = self.seen.split_off(&(self.from + 1));
        let crossing = std::mem::replace(&mut self.seen, open).into_values().next_back();
        if let Some(end) = crossing.filter(|end| *end > self.from + 1) {
            self.seen.insert(self.from + 1, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_becomes_a_binding() {
        assert_eq!(Filter::default().binding(), "*.*.*.#");
        let contract = Some(Address::repeat_byte(0xab));
        let filter = Filter {
            chain: Some(ChainId(1)),
            kind: Some("mint".into()),
            contract,
        };
        assert_eq!(filter.binding(), format!("eip155.1.mint.0x{}", "ab".repeat(20)));
    }

    fn snapshot(oldest: i64, next: i64) -> Snapshot {
        Snapshot { oldest, next }
    }

    #[test]
    fn a_cursor_keeps_numbers_open_while_a_transaction_may_fill_them_in() {
        let mut cursor = Cursor::new(3);
        for seq in [5, 9, 6, 8, 20_000, 4] {
            cursor.pass(seq);
        }
        assert_eq!(cursor.seen(), "{[4,7),[8,10),[20000,20001)}");
        // Transaction 70 may hold number 7; it is the oldest one for a while.
        cursor.date(snapshot(70, 80));
        cursor.close(snapshot(70, 80));
        cursor.pass(20_001);
        cursor.date(snapshot(70, 90));
        cursor.close(snapshot(79, 90));
        assert_eq!(cursor.from, 3);
        cursor.close(snapshot(80, 95));
        assert_eq!((cursor.from, cursor.seen()), (20_000, "{[20001,20002)}".to_owned()));
        cursor.close(snapshot(95, 95));
        assert_eq!((cursor.from, cursor.seen()), (20_001, "{}".to_owned()));
    }
}
