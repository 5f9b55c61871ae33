//! One question to one endpoint: asked in the form that the endpoint answers, its answer read and checked, and its record kept.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::endpoint::exchange::Progress;
use super::endpoint::{Endpoint, Forms, Refused};
use super::inner::Inner;
use super::question::{Ask, Reader, off_thread};
use super::report::count;
use super::wire::Body;
use super::wire::call::Call;
use super::wire::rejection::{Hint, Rejection};

impl Inner {
    /// One question to one endpoint, with its answer read and checked, and the endpoint's record kept.
    pub(super) async fn attempt_once<T: Send + 'static, R: Reader<T>>(
        &self,
        endpoint: &Arc<Endpoint>,
        ask: &Ask,
        read: &R,
    ) -> Result<T, Refused> {
        self.attempt(endpoint, ask, read, &mut Progress::new(&ask.calls)).await
    }

    /// The same, going on where an earlier attempt left off.
    pub(super) async fn attempt<T: Send + 'static, R: Reader<T>>(
        &self,
        endpoint: &Arc<Endpoint>,
        ask: &Ask,
        read: &R,
        progress: &mut Progress,
    ) -> Result<T, Refused> {
        let _permit = endpoint.gate.enter().await;
        let _trial = Trial::of(endpoint);
        let answer = self.exchange(endpoint, ask, read, progress).await;
        match &answer {
            Ok(_) => endpoint.succeeded(),
            Err(refused) => {
                if matches!(refused.rejection, Rejection::Lie) {
                    count(&self.counts.lies);
                    warn!(chain = %self.chain, endpoint = %endpoint.name, detail = %refused.detail, "an endpoint's answer failed a check");
                }
                let is_declined = matches!(
                    refused.rejection,
                    Rejection::Failed | Rejection::Malformed | Rejection::Denied
                );
                if ask.receipts && is_declined {
                    endpoint.health().declined(&refused.detail);
                } else {
                    endpoint.failed(refused);
                }
            }
        }
        answer
    }

    async fn exchange<T: Send + 'static, R: Reader<T>>(
        &self,
        endpoint: &Arc<Endpoint>,
        ask: &Ask,
        read: &R,
        progress: &mut Progress,
    ) -> Result<T, Refused> {
        endpoint.check_chain(self.chain, self.options.request_timeout).await?;
        let answer = self.in_either_form(endpoint, ask, read, progress).await;
        let Err(mut refused) = answer else { return answer };
        if refused.rejection == Rejection::Elsewhere {
            refused.rejection = Rejection::Lie;
        }
        // A range that takes too long is a range that is too long.
        if refused.rejection == Rejection::Timeout && ask.span.is_some_and(|blocks| blocks > 1) {
            refused.rejection = Rejection::TooMuch(None);
        }
        match (refused.rejection, ask.span) {
            (Rejection::TooMuch(hint), Some(blocks)) => {
                let next = endpoint.health().log_range.refused(blocks, hint);
                refused.rejection = Rejection::TooMuch(Some(Hint::Try(next)));
            }
            (Rejection::Unsupported, _) if ask.receipts => endpoint.health().no_receipts = true,
            (rejection, _) if ask.receipts => endpoint.health().had_no_receipts(&rejection, Instant::now()),
            _ => {}
        }
        Err(refused)
    }

    /// Asks for blocks in the form the endpoint answers: by hash or by height. Where one is refused the other is tried, and what
    /// worked is what it is asked from then on.
    async fn in_either_form<T: Send + 'static, R: Reader<T>>(
        &self,
        endpoint: &Arc<Endpoint>,
        ask: &Ask,
        read: &R,
        progress: &mut Progress,
    ) -> Result<T, Refused> {
        let forms = endpoint.forms(&ask.calls);
        let refused = match self.in_form(endpoint, (ask, &forms), read, progress).await {
            Err(refused) if forms.are_two() && may_be_the_form(&refused.rejection) && self.binds(ask) => refused,
            answer => return answer,
        };
        let forms = forms.other(&ask.calls);
        debug!(endpoint = %endpoint.name, ask = %ask.what, detail = %refused.detail, "asking in another form");
        let mut anew = Progress::new(&forms.calls);
        let answer = self.in_form(endpoint, (ask, &forms), read, &mut anew).await;
        match answer {
            Ok(value) => {
                endpoint.keep_forms(&forms);
                Ok(value)
            }
            Err(other) if matches!(other.rejection, Rejection::TooMuch(_) | Rejection::Lie) => Err(other),
            Err(_) => Err(refused),
        }
    }

    /// Whether an answer by height is bound to the block that was asked for. Where headers cannot be recomputed, that an endpoint
    /// knows a block by its hash is all that stands for it.
    fn binds(&self, ask: &Ask) -> bool {
        !self.rules.opaque() || !ask.calls.iter().any(Call::is_header_of_hash)
    }

    async fn in_form<T: Send + 'static, R: Reader<T>>(
        &self,
        endpoint: &Arc<Endpoint>,
        (ask, forms): (&Ask, &Forms),
        read: &R,
        progress: &mut Progress,
    ) -> Result<T, Refused> {
        progress.take_form(&forms.calls);
        endpoint.advance(progress, ask).await?;
        let whole = std::mem::replace(progress, Progress::new(&ask.calls));
        let answer = self.read(endpoint, ask, read, whole.into_bodies()).await;
        answer.map_err(|mut refused| {
            if refused.rejection == Rejection::Elsewhere && forms.names_heights() {
                refused.rejection = Rejection::Absent;
            }
            refused
        })
    }

    pub(super) async fn read<T: Send + 'static, R: Reader<T>>(
        &self,
        endpoint: &Arc<Endpoint>,
        ask: &Ask,
        read: &R,
        bodies: Vec<Body>,
    ) -> Result<T, Refused> {
        let method = ask.calls.last().map_or("", |call| call.method);
        let read = read.clone();
        // Reading what is heavy takes long, however short it is.
        let bytes = if ask.heavy {
            usize::MAX
        } else {
            bodies.iter().map(Body::len).sum()
        };
        let value = off_thread(bytes, move || read(&bodies)).await;
        value.map_err(|unread| endpoint.unread(method, unread))
    }
}

/// Whether the same question in another form may have an answer.
fn may_be_the_form(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::Failed
            | Rejection::Unsupported
            | Rejection::Malformed
            | Rejection::Denied
            | Rejection::Absent
            | Rejection::Elsewhere
    )
}

/// Marks a request to an endpoint whose circuit is open as the one that tries it.
struct Trial<'a>(Option<&'a Endpoint>);

impl<'a> Trial<'a> {
    fn of(endpoint: &'a Endpoint) -> Self {
        Trial(endpoint.health().begin().then_some(endpoint))
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if let Some(endpoint) = self.0 {
            endpoint.health().trial = false;
        }
    }
}
