//! Headers that pass their checks: asked for one by one, and compared with what was asked for and with the chain's header rule.

use std::sync::Arc;

use tracing::info;

use super::ask::Served;
use super::endpoint::Endpoint;
use super::error::{EndpointError, Wanted};
use super::inner::Inner;
use super::question::{Ask, Reader, Trouble};
use super::settings::Header;
use super::wire::call::Call;
use super::wire::header::{self, SealedHeader};
use super::wire::{Body, Unread, replies};

/// A header, and whether its hash was recomputed.
#[derive(Clone, Debug)]
pub(super) struct CheckedHeader {
    pub(super) header: SealedHeader,
    pub(super) proven: bool,
}

impl Inner {
    /// The header at a height or with a hash as callers see it; `None` when no endpoint has it.
    pub(super) async fn header(&self, wanted: Wanted) -> Result<Option<Header>, EndpointError> {
        match self.sealed_header(&wanted, Vec::new()).await {
            Ok((header, _)) => Ok(Some(header.brief())),
            Err(Trouble::Absent) => Ok(None),
            Err(trouble) => Err(self.error(trouble, &wanted)),
        }
    }

    /// Asks with `read(false)`; when every answer fails its checks, and the chain's header rule may be the cause, asks
    /// again with `read(true)`, which takes headers that cannot be recomputed.
    pub(super) async fn ask_sealed<T: Send + 'static, R: Reader<T>>(
        &self,
        ask: &Ask,
        read: impl Fn(bool) -> R,
    ) -> Result<Served<T>, Trouble> {
        match self.ask(ask, read(false)).await {
            Err(Trouble::Unproven { reason, .. }) if self.rules.may_agree() => {
                info!(chain = %self.chain, ask = %ask.what, %reason, "asking again without proof of the header");
                self.ask(ask, read(true)).await
            }
            answer => answer,
        }
    }

    /// A header that passed its checks, and who gave it.
    pub(super) async fn sealed_header(
        &self,
        wanted: &Wanted,
        shun: Vec<i32>,
    ) -> Result<(SealedHeader, Arc<Endpoint>), Trouble> {
        let (call, block) = match wanted {
            Wanted::Hash(hash) => (Call::header_of(*hash), None),
            Wanted::Number(number) => (Call::header_at(*number), Some(*number)),
            Wanted::Range(range) => (Call::header_at(*range.end()), Some(*range.end())),
        };
        let ask = Ask {
            block,
            shun,
            ..self.question(vec![call], wanted.to_string())
        };
        let rules = &self.rules;
        let served = self
            .ask_sealed(&ask, |agreed| {
                let (rules, wanted) = (Arc::clone(rules), wanted.clone());
                move |bodies: &[Body]| {
                    let header = header::read(replies(bodies)?.first().ok_or(Unread::Absent)?.json()?)?;
                    check_wanted(&header, &wanted)?;
                    rules.check(&header, agreed)?;
                    Ok(header)
                }
            })
            .await?;
        Ok((served.value, served.by))
    }
}

/// The header is the one asked for.
pub(super) fn check_wanted(header: &SealedHeader, wanted: &Wanted) -> Result<(), Unread> {
    let right = match wanted {
        Wanted::Hash(hash) => header.block.hash == *hash,
        Wanted::Number(number) => header.block.number == *number,
        Wanted::Range(range) => range.contains(&header.block.number),
    };
    if right {
        Ok(())
    } else {
        Err(Unread::Lie(format!(
            "asked for {wanted}, gave block {}",
            header.reference()
        )))
    }
}
