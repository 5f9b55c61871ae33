//! Watching messages go by, for `indexer tail`: from the broker through a queue of one's own, or from the outbox without a broker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy_primitives::Address;
use decoders::block::ChainId;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};

use super::message::Message;
use super::owed::Owed;
use super::{PublisherError, broker, owed};
use crate::store::Store;

/// Messages sent ahead of the reader.
const UNREAD: u16 = 1_000;
/// Rows read from the outbox at a time.
const PAGE: usize = 1_000;
/// How far behind the newest number a row may still appear: numbers are given out before transactions commit.
const LATE: i64 = 10_000;

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
            None => owed::chains(&self.store).await?,
        };
        let mut rows = Vec::new();
        for chain in chains {
            let cursor = self.cursors.entry(chain).or_insert_with(|| Cursor {
                from: self.after,
                seen: BTreeSet::new(),
            });
            let seen: Vec<i64> = cursor.seen.iter().copied().collect();
            let new = owed::rows(&self.store, chain, cursor.from, &seen, PAGE).await?;
            new.iter().for_each(|row| cursor.pass(row.seq));
            rows.extend(new);
        }
        rows.sort_by_key(|row| row.seq);
        Ok(rows.into_iter().map(|row| Ok(self.show(row))).collect())
    }

    fn show(&self, row: Owed) -> Option<Seen> {
        let message = row.message.filter(|message| self.filter.admits(message))?;
        Some(Seen {
            seq: Some(row.seq),
            routing_key: message.routing_key,
            body: message.body,
        })
    }
}

/// How far one chain's rows were read: everything up to `from`, and beyond it what was seen.
struct Cursor {
    from: i64,
    seen: BTreeSet<i64>,
}

impl Cursor {
    /// Notes a row as seen. The newest [`LATE`] numbers stay open, because a transaction under way may still fill them in.
    fn pass(&mut self, seq: i64) {
        self.seen.insert(seq);
        let newest = self.seen.last().copied().unwrap_or(seq);
        self.from = self.from.max(newest - LATE);
        self.seen = self.seen.split_off(&(self.from + 1));
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

    #[test]
    fn a_cursor_keeps_the_newest_numbers_open() {
        let mut cursor = Cursor {
            from: 3,
            seen: BTreeSet::new(),
        };
        for seq in [4, LATE, LATE + 5, 9] {
            cursor.pass(seq);
        }
        assert_eq!((cursor.from, cursor.seen), (5, BTreeSet::from([9, LATE, LATE + 5])));
    }
}
