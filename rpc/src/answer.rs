//! What contracts answer to `eth_call`, and the memory of answers that never change.

use std::sync::{Mutex, PoisonError};

use decoders::block::{Answer, Answers, Call};

use super::lookup::Reported;
use super::wire::rejection::{Rejection, classify};
use super::wire::{Data, Reply, Unread};

/// Answers remembered at least; about twice as many at most.
const KEPT: usize = 20_000;
/// An answer longer than this is not remembered.
const LONGEST: usize = 1 << 10;

/// Reads the answer of `eth_call`. A state that the endpoint no longer has, or does not have yet, is no answer. Nothing at all is what
/// an address without code returns, and what an endpoint returns for a contract that it does not know yet or no longer: another
/// is asked too.
pub(super) fn read(reply: &Reply<'_>) -> Result<Reported<Answer>, Unread> {
    match reply {
        Reply::Value(_) => {
            let returned = reply.read::<Data>()?.0;
            let is_empty = returned.is_empty();
            let answer = Answer::Returned(returned);
            Ok(if is_empty {
                Reported::Unproven(answer)
            } else {
                Reported::Sure(answer)
            })
        }
        Reply::Null => Ok(Reported::Missing),
        Reply::Error(error) => match classify("eth_call", error, 200) {
            Rejection::Reverted => Ok(Reported::Sure(Answer::Reverted)),
            Rejection::Pruned | Rejection::Absent => Ok(Reported::Missing),
            _ => Err(Unread::Refused(error.clone())),
        },
    }
}

/// Answers that hold at every height, those asked for lately: two generations, of which the older one is dropped when the
/// younger one is full.
#[derive(Default)]
pub(super) struct Remembered(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    younger: Answers,
    older: Answers,
}

impl Remembered {
    /// The answers to `calls` that are known.
    pub(super) fn known(&self, calls: &[Call]) -> Answers {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = Answers::default();
        for call in calls.iter().filter(|call| call.at.is_none()) {
            if let Some(answer) = generations.find(call) {
                known.insert(call.clone(), answer);
            }
        }
        known
    }

    /// Takes over new answers.
    pub(super) fn learn(&self, answers: &Answers) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (call, answer) in answers {
            // An empty answer may become another one once the contract is there.
            let short = !matches!(answer, Answer::Returned(bytes) if bytes.is_empty() || bytes.len() + call.input.len() > LONGEST);
            if call.at.is_none() && short {
                generations.keep(call.clone(), answer.clone());
            }
        }
    }
}

impl Generations {
    fn find(&mut self, call: &Call) -> Option<Answer> {
        if let Some(answer) = self.younger.get(call) {
            return Some(answer.clone());
        }
        let (call, answer) = self.older.remove_entry(call)?;
        self.keep(call, answer.clone());
        Some(answer)
    }

    fn keep(&mut self, call: Call, answer: Answer) {
        self.younger.insert(call, answer);
        if self.younger.len() >= KEPT {
            self.older = std::mem::take(&mut self.younger);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RpcError;
    use alloy_primitives::{Address, Bytes};
    use serde_json::value::RawValue;

    fn call(number: u32, at: Option<u64>) -> Call {
        Call {
            to: Address::ZERO,
            input: Bytes::copy_from_slice(&number.to_be_bytes()),
            at,
        }
    }

    fn error(code: i64, message: &str) -> RpcError {
        RpcError {
            code,
            message: message.to_owned(),
            data: String::new(),
        }
    }

    #[test]
    fn an_answer_a_revert_and_a_missing_state_are_told_apart() {
        let raw = RawValue::from_string("\"0x01\"".to_owned()).unwrap();
        let returned = Reported::Sure(Answer::Returned(Bytes::from_static(&[1])));
        assert_eq!(read(&Reply::Value(&raw)), Ok(returned));
        let empty = RawValue::from_string("\"0x\"".to_owned()).unwrap();
        let unproven = Reported::Unproven(Answer::Returned(Bytes::new()));
        assert_eq!(
            read(&Reply::Value(&empty)),
            Ok(unproven),
            "others may know the contract"
        );
        let reverted = Reply::Error(error(3, "execution reverted: no"));
        assert_eq!(read(&reverted), Ok(Reported::Sure(Answer::Reverted)));
        let pruned = Reply::Error(error(
            -32000,
            "missing trie node 00ff (path ) state 0x00 is not available",
        ));
        assert_eq!(read(&pruned), Ok(Reported::Missing));
        assert_eq!(read(&Reply::Null), Ok(Reported::Missing));
        let limited = read(&Reply::Error(error(429, "too many requests")));
        assert!(matches!(limited, Err(Unread::Refused(_))), "{limited:?}");
    }

    #[test]
    fn what_holds_at_every_height_is_remembered_and_bounded() {
        let remembered = Remembered::default();
        let answers = |calls: &[Call]| calls.iter().map(|call| (call.clone(), Answer::Reverted)).collect();
        remembered.learn(&answers(&[call(1, None), call(2, Some(7))]));
        let empty = (call(4, None), Answer::Returned(Bytes::new()));
        remembered.learn(&[empty].into_iter().collect());
        assert!(
            remembered.known(&[call(4, None)]).is_empty(),
            "nothing is no answer to keep"
        );
        assert_eq!(
            remembered
                .known(&[call(1, None), call(2, Some(7)), call(3, None)])
                .len(),
            1
        );
        for number in 10..10 + 3 * KEPT as u32 {
            remembered.learn(&answers(&[call(number, None)]));
            if number % 1_000 == 0 {
                assert_eq!(remembered.known(&[call(1, None)]).len(), 1, "asked for lately");
            }
        }
        assert!(remembered.known(&[call(10, None)]).is_empty(), "not asked for since");
        let generations = remembered.0.lock().unwrap();
        assert!(generations.younger.len() + generations.older.len() <= 2 * KEPT);
    }
}
