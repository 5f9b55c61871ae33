//! Token standards.

/// Token standard as decoded from the event layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standard {
    /// ERC-721 and the single-owner contracts before it that share its meaning.
    Erc721,
    /// ERC-1155.
    Erc1155,
    /// CryptoPunks.
    CryptoPunks,
}

impl Standard {
    /// The name kept in `tokens.token_standard`.
    pub fn as_str(self) -> &'static str {
        match self {
            Standard::Erc721 => "erc721",
            Standard::Erc1155 => "erc1155",
            Standard::CryptoPunks => "cryptopunks",
        }
    }

    /// Whether a token has one owner; otherwise owners hold quantities.
    pub fn single_owner(self) -> bool {
        !matches!(self, Standard::Erc1155)
    }
}
