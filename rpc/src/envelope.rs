//! Transactions as endpoints serve them, checked against the hash they were asked by and the signature they carry.

use alloy::consensus::TxEnvelope;
use alloy::eips::Encodable2718;
use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use decoders::block::Envelope;
use k256::ecdsa::{RecoveryId, Signature as Scalars, VerifyingKey};
use serde::Deserialize;

use super::lookup::Reported;
use super::wire::receipt::LAST_ETHEREUM_TYPE;
use super::wire::{Account, Data, Quantity, Reply, Unread, Word};

/// What every chain's transactions have.
#[derive(Deserialize)]
struct Wire {
    hash: Word,
    /// Some servers leave it to the signature.
    #[serde(default)]
    from: Option<Account>,
    #[serde(default)]
    to: Option<Account>,
    value: U256,
    #[serde(alias = "data")]
    input: Data,
    #[serde(default)]
    r#type: Option<Quantity>,
}

/// Reads the answer of `eth_getTransactionByHash` for `hash`.
///
/// Where Ethereum knows the type, the hash is recomputed and the sender recovered; where it does not, as with the deposits
/// of rollups, the answer is taken as it is. A transaction of a known type without a signature, such as those some chains
/// make themselves, is unproven unless its hash fits.
pub(super) fn read(hash: &B256, reply: &Reply<'_>) -> Result<Reported<Envelope>, Unread> {
    let json = reply.json()?;
    let wire: Wire = serde_json::from_str(json)?;
    if wire.hash.0 != *hash {
        return Err(Unread::Lie(format!(
            "asked for transaction {hash}, gave {}",
            wire.hash.0
        )));
    }
    let kind = wire.r#type.map_or(0, |kind| kind.0);
    let from = wire.from.map(|from| from.0);
    let envelope = |from: Option<Address>| {
        Ok::<_, Unread>(Envelope {
            from: from.ok_or_else(|| Unread::Malformed(format!("transaction {hash} has no sender")))?,
            to: wire.to.map(|to| to.0),
            value: wire.value,
            input: wire.input.0,
        })
    };
    // Chains have types of their own, whose hash no rule here recomputes.
    if kind > LAST_ETHEREUM_TYPE {
        return envelope(from).map(Reported::Sure);
    }
    // A field that Ethereum requires may be missing at a chain of its own kind: not proven is not wrong.
    let Ok(typed) = serde_json::from_str::<TxEnvelope>(json) else {
        return envelope(from).map(Reported::Unproven);
    };
    let fits = keccak256(typed.encoded_2718()) == *hash;
    let signature = typed.signature();
    if signature.r().is_zero() && signature.s().is_zero() {
        return envelope(from).map(if fits { Reported::Sure } else { Reported::Unproven });
    }
    if !fits {
        return Err(Unread::Lie(format!("transaction {hash} has another hash")));
    }
    match (signer(*signature, &typed.signature_hash()), from) {
        (Some(signer), from) if from.is_none_or(|from| from == signer) => envelope(Some(signer)).map(Reported::Sure),
        (_, from) => Err(Unread::Lie(format!(
            "transaction {hash} was not signed by {}",
            from.unwrap_or_default()
        ))),
    }
}

/// Whose signature of `digest` this is.
fn signer(signature: Signature, digest: &B256) -> Option<Address> {
    // Before EIP-2 the upper half of the scalars was allowed too.
    let signature = signature.normalized_s();
    let scalars = Scalars::from_scalars(signature.r().to_be_bytes::<32>(), signature.s().to_be_bytes::<32>()).ok()?;
    let parity = RecoveryId::new(signature.v(), false);
    let key = VerifyingKey::recover_from_prehash(digest.as_slice(), &scalars, parity).ok()?;
    let point = key.to_encoded_point(false);
    Some(Address::from_raw_public_key(&point.as_bytes()[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{address, b256};
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    const HASH: B256 = b256!("9cec3c06419e5072e8137332a74b2c8a717e34050edfea9f5b764ed44df55871");

    /// Of mainnet's block 10,537,003.
    fn signed() -> Value {
        json!({
            "hash": HASH,
            "from": "0xCD8aA8828600391F70a156D079Dc749e0Bb36699",
            "to": "0xf75edFfEc3202650114c42337eEFc52d70bE0138",
            "nonce": "0x3", "value": "0x0", "gas": "0x927c0", "gasPrice": "0x9502f9000", "input": "0x183ff085",
            "v": "0x25",
            "r": "0x3fede51a6e4946ca9f6ee0034ea603301f69b646062e1dfa3a473895343f5517",
            "s": "0x760869adb546d0a997ca3a0bb4534af485b0f298b4b91ac20b71f5d461d5405f",
        })
    }

    fn reported(edit: impl FnOnce(&mut Value)) -> Result<Reported<Envelope>, Unread> {
        let mut value = signed();
        edit(&mut value);
        let raw = RawValue::from_string(value.to_string()).unwrap();
        read(&HASH, &Reply::Value(&raw))
    }

    #[test]
    fn a_signed_transaction_is_proven_field_by_field() {
        let sender = address!("cd8aa8828600391f70a156d079dc749e0bb36699");
        let whole = reported(|_| {}).unwrap();
        assert!(
            matches!(&whole, Reported::Sure(envelope) if envelope.from == sender),
            "{whole:?}"
        );
        let recovered = reported(|value| drop(value.as_object_mut().unwrap().remove("from")));
        assert_eq!(recovered.unwrap(), whole);
        for (field, lie) in [
            ("from", "0x0000000000000000000000000000000000000001"),
            ("to", "0x0000000000000000000000000000000000000001"),
            ("input", "0x183ff086"),
            ("value", "0x1"),
            ("v", "0x26"),
            ("r", "0x1"),
        ] {
            let answer = reported(|value| value[field] = json!(lie));
            assert!(matches!(answer, Err(Unread::Lie(_))), "{field}: {answer:?}");
        }
        let other = reported(|value| value["hash"] = json!(B256::ZERO));
        assert!(matches!(other, Err(Unread::Lie(_))), "{other:?}");
    }

    #[test]
    fn what_has_no_rules_or_no_signature_is_not_called_a_lie() {
        let deposit = reported(|value| value["type"] = json!("0x7e"));
        assert!(matches!(deposit, Ok(Reported::Sure(_))), "{deposit:?}");
        let unsigned = reported(|value| {
            for field in ["v", "r", "s"] {
                value[field] = json!("0x0");
            }
        });
        assert!(matches!(unsigned, Ok(Reported::Unproven(_))), "{unsigned:?}");
        let bare = reported(|value| drop(value.as_object_mut().unwrap().remove("r")));
        assert!(matches!(bare, Ok(Reported::Unproven(_))), "{bare:?}");
        assert_eq!(read(&HASH, &Reply::Null), Err(Unread::Absent));
    }
}
