//! Whether a schedule ended well: everything is indexed and published, tables and archive are those of a clean index, and the consumer
//! knows exactly the facts of the tables.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use sinks::digest::{TableDigest, digest};
use sinks::error::SinkError;
use sinks::facts::faults;
use sinks::progress::{checkpoint, coverage};
use testkit::database::Database;
use testkit::outbox;
use testkit::tables::Tables;
use uuid::Uuid;

use crate::harness::chain::clean_digest;
use crate::report::Outcome;
use crate::stage::Stage;

/// How long everything may take to be indexed and published once it is well again.
const RECOVERY: Duration = Duration::from_secs(240);
/// How often it is looked whether it is.
const GLANCE: Duration = Duration::from_millis(200);
/// Logs that may wait for another try at once.
const MANY: i64 = 10_000;
/// An attempt that comes sooner is waited for.
const GRACE: TimeDelta = TimeDelta::seconds(2);
/// Examples shown of what differs.
const SHOWN: usize = 5;

impl Stage {
    /// Heals everything, waits until the daemons are done, and compares.
    pub(crate) async fn observe(&mut self) -> Outcome {
        let healed = self.heal().await;
        let settled = self.settles(healed).await;
        self.outcome.recovery_seconds = healed.elapsed().as_secs_f64();
        self.count_requests();
        if !settled {
            let left = self.left().await;
            let logs: Vec<String> = self.hosts.iter().map(crate::host::Host::log_end).collect();
            let text = format!(
                "not done {RECOVERY:?} after everything was well: {left}\n{}",
                logs.join("\n--\n")
            );
            self.outcome.failures.push(text);
            return self.outcome.clone();
        }
        for host in &mut self.hosts {
            self.outcome.failures.extend(host.finish().await);
        }
        let clean = self.clean().await;
        self.compare_tables(&clean, "after the schedule").await;
        self.replay().await;
        self.compare_digests(&clean, "after the replay").await;
        self.compare_consumer().await;
        self.consumer.leave().await;
        self.outcome.clone()
    }

    async fn settles(&mut self, healed: Instant) -> bool {
        while healed.elapsed() < RECOVERY {
            self.watch();
            if matches!(self.pending().await, Ok(None)) {
                return true;
            }
            tokio::time::sleep(GLANCE).await;
        }
        false
    }

    async fn left(&self) -> String {
        match self.pending().await {
            Ok(left) => left.unwrap_or_else(|| "done just now".to_owned()),
            Err(error) => error.to_string(),
        }
    }

    /// What is left to do.
    async fn pending(&self) -> Result<Option<String>, SinkError> {
        let (store, chain, head) = (&self.database.store, self.chain(), self.head());
        let stored = checkpoint::read(store, chain).await?.map(|stored| stored.block);
        if stored != Some(head) {
            return Ok(Some(format!("the checkpoint is {stored:?}, the head {head:?}")));
        }
        let gaps = coverage::missing(store, chain, &indexer::pipeline::everything(), 0..=head.number).await?;
        if !gaps.is_empty() {
            return Ok(Some(format!("blocks {gaps:?} are missing")));
        }
        let messages: i64 = sqlx::query_scalar("select count(*) from indexer_service.outbox")
            .fetch_one(&store.pool)
            .await?;
        if messages > 0 {
            return Ok(Some(format!("{messages} messages are pending")));
        }
        let waiting = self.urged().await?;
        Ok((waiting > 0).then(|| format!("{waiting} logs wait for another try")))
    }

    /// Makes due what waits for another try, as an operator would after an outage instead of waiting for hours; returns how much does.
    async fn urged(&self) -> Result<usize, SinkError> {
        let store = &self.database.store;
        let waiting = faults::waiting(store, self.chain(), Uuid::nil(), MANY).await?;
        let resting = waiting
            .iter()
            .filter(|fault| fault.next_attempt_at.is_none_or(|at| at > Utc::now() + GRACE));
        let ids: Vec<Uuid> = resting.map(|fault| fault.id).collect();
        if !ids.is_empty() {
            faults::urge(store, self.chain(), &ids).await?;
        }
        Ok(waiting.len())
    }

    /// The digests of the surviving chain, indexed once and in order.
    async fn clean(&self) -> Vec<TableDigest> {
        let reference = Database::new().await;
        let answers = self.simulation.answers();
        clean_digest(&reference, &self.truth, &answers, 0..=self.head().number).await
    }

    async fn compare_tables(&mut self, clean: &[TableDigest], when: &str) {
        let expected = Tables::of(self.simulation.books(), self.head().number);
        let found = Tables::read(&self.database.store, self.chain()).await;
        self.outcome.facts = found.facts.len() as u64;
        self.outcome.lost += expected.facts.difference(&found.facts).count() as u64;
        self.outcome.untrue += found.facts.difference(&expected.facts).count() as u64;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| found.assert_equals(&expected, when))) {
            self.outcome.failures.extend(Outcome::broken(panic.as_ref()).failures);
        }
        self.compare_digests(clean, when).await;
    }

    async fn compare_digests(&mut self, clean: &[TableDigest], when: &str) {
        let found = digest(&self.database.store, self.chain()).await.unwrap();
        let differ: Vec<String> = found
            .iter()
            .zip(clean)
            .filter(|(found, clean)| found != clean)
            .map(|(found, clean)| format!("{}: {} rows, {} expected", found.table, found.rows, clean.rows))
            .collect();
        if !differ.is_empty() {
            let text = format!(
                "{when}: the tables are not those of a clean index: {}",
                differ.join("; ")
            );
            self.outcome.failures.push(text);
        }
    }

    async fn replay(&mut self) {
        let (chain, last) = (self.chain().to_string(), self.finalized().to_string());
        let host = self.hosts.last().expect("the last host runs the tools");
        let arguments = ["replay", "--chain", &chain, "--from", "0", "--to", &last];
        let mut process = host.program.start(&arguments);
        let (status, output) = (process.end().await, process.stdout());
        if !status.success() || !output.contains(" 0 new, 0 retracted") {
            let end = process.log_end();
            let text = format!("the replay of blocks 0 to {last} ended with {status}: {output:?}; its log ends\n{end}");
            self.outcome.failures.push(text);
        }
    }

    async fn compare_consumer(&mut self) {
        let heard = self.consumer.hear().await;
        let facts = outbox::fact_ids(&self.database.store, self.chain()).await;
        let lost: BTreeSet<_> = facts.difference(&heard.standing).collect();
        let untrue: BTreeSet<_> = heard.standing.difference(&facts).collect();
        self.outcome.messages = heard.messages;
        self.outcome.repeats = heard.repeats;
        self.outcome.lost += lost.len() as u64;
        self.outcome.untrue += untrue.len() as u64;
        if !lost.is_empty() || !untrue.is_empty() {
            let text = format!(
                "the consumer: {} facts were never announced ({}), {} announced ones are not true ({})",
                lost.len(),
                examples(&lost),
                untrue.len(),
                examples(&untrue)
            );
            self.outcome.failures.push(text);
        }
    }
}

fn examples(ids: &BTreeSet<impl Debug>) -> String {
    let shown: Vec<String> = ids.iter().take(SHOWN).map(|id| format!("{id:?}")).collect();
    shown.join(", ")
}
