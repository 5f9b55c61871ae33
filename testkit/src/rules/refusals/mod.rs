//! What each rule of the schema refuses: the rule's name, and a statement that breaks it and no other, on the rows of `rows.sql`.

/// Alice, who has a row everywhere.
macro_rules! alice {
    () => {
        "'00000000-0000-4000-8000-00000000000a'"
    };
}

/// Bob, who follows no one.
macro_rules! bob {
    () => {
        "'00000000-0000-4000-8000-00000000000b'"
    };
}

/// An address of Alice, linked to her on two chains.
macro_rules! wallet {
    () => {
        "0xaa00000000000000000000000000000000000001"
    };
}

pub(super) mod access;
pub(super) mod governance;
pub(super) mod people;
pub(super) mod services;
