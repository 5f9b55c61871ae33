//! Rows on their way into a table. Many go in PostgreSQL's binary COPY format, a quarter cheaper for the server than text
//! (docs/decisions/0004). Few go as JSON in one statement: a COPY takes several round trips, and where the driver leaves Nagle's
//! algorithm on its end waits for an acknowledgement, 40 ms over TCP.

use alloy_primitives::{U256, hex};
use chrono::{DateTime, Datelike, Utc};
use decoders::block::LATEST_TIME;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row, ValueRef};
use uuid::Uuid;

use crate::error::SinkError;

/// Header of the format: signature, flags, length of the extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Type of the elements of a `bytea[]` (pg_type.dat).
pub const BYTEA: i32 = 17;
/// Type of the elements of a `bigint[]`.
pub const BIGINT: i32 = 20;
/// Type of the elements of a `text[]`.
pub const TEXT: i32 = 25;
/// Type of the elements of a `numeric[]`.
pub const NUMERIC: i32 = 1700;

/// Bytes of rows that are held before they are sent.
const CHUNK_BYTES: usize = 1 << 18;

/// As many rows go in one statement; more are copied.
const FEW: usize = 64;

/// Rows on their way into one table.
pub struct Rows {
    buffer: Vec<u8>,
    form: Form,
}

/// What rows are written as.
enum Form {
    /// For COPY.
    Binary {
        /// Fields of a row.
        columns: i16,
    },
    /// An array of objects.
    Json {
        /// Columns, in the order in which they are written.
        names: Vec<&'static str>,
        /// Fields written of the row.
        written: usize,
        /// Elements written of the array that is being written; none, where it is no array.
        elements: Option<usize>,
    },
}

/// Writes `items`, a row each: through `insert`, which takes them as JSON, where they are few, and through `copy_in` where they are
/// many. Both name the `columns`.
pub async fn add<T>(
    db: &mut PgConnection,
    statements: Statements,
    items: impl ExactSizeIterator<Item = T> + Send,
    mut write: impl FnMut(T, &mut Rows) + Send,
) -> Result<(), SinkError> {
    if items.len() > FEW {
        return copy(db, statements.copy, statements.count, items, write).await;
    }
    let mut rows = Rows::json(statements.columns);
    for item in items {
        write(item, &mut rows);
    }
    sqlx::query(statements.insert)
        .bind(rows.into_json())
        .execute(db)
        .await?;
    Ok(())
}

/// The ways into a table.
#[derive(Clone, Copy)]
pub struct Statements {
    /// The columns, as both statements name them.
    pub columns: &'static str,
    /// How many these are.
    pub count: i16,
    /// A `copy … from stdin (format binary)`.
    pub copy: &'static str,
    /// An insert that takes an array of objects as text.
    pub insert: &'static str,
}

/// Writes a row per item through `statement`, a `copy … from stdin (format binary)` of `columns` columns. Rows are sent as they are
/// made: no more than a chunk and one row are held, however many there are.
pub async fn copy<T>(
    db: &mut PgConnection,
    statement: &'static str,
    columns: i16,
    items: impl Iterator<Item = T> + Send,
    mut write: impl FnMut(T, &mut Rows) + Send,
) -> Result<(), SinkError> {
    let mut copy = db.copy_in_raw(statement).await?;
    let mut rows = Rows::new(columns);
    for item in items {
        write(item, &mut rows);
        if rows.buffer.len() >= CHUNK_BYTES {
            copy.send(rows.buffer.as_slice()).await?;
            rows.buffer.clear();
        }
    }
    rows.buffer.extend_from_slice(&(-1i16).to_be_bytes());
    copy.send(rows.buffer.as_slice()).await?;
    copy.finish().await?;
    Ok(())
}

impl Rows {
    /// No rows of `columns` columns, for COPY.
    pub fn new(columns: i16) -> Self {
        Rows {
            buffer: HEADER.to_vec(),
            form: Form::Binary { columns },
        }
    }

    /// No rows of the `columns` in this list, as JSON.
    fn json(columns: &'static str) -> Self {
        Rows {
            buffer: Vec::new(),
            form: Form::Json {
                names: columns.split(',').map(str::trim).collect(),
                written: 0,
                elements: None,
            },
        }
    }

    /// The rows as an array.
    fn into_json(mut self) -> String {
        self.buffer
            .extend_from_slice(if self.buffer.is_empty() { b"[]" } else { b"}]" });
        String::from_utf8(self.buffer).expect("every field is written as text")
    }

    /// Begins a row; exactly as many fields as there are columns must follow.
    pub fn row(&mut self) -> &mut Self {
        match &mut self.form {
            Form::Binary { columns } => self.buffer.extend_from_slice(&columns.to_be_bytes()),
            Form::Json { written, .. } => {
                *written = 0;
                self.buffer
                    .extend_from_slice(if self.buffer.is_empty() { b"[" } else { b"}," });
            }
        }
        self
    }

    /// A `uuid`.
    pub fn uuid(&mut self, value: Uuid) -> &mut Self {
        if self.json_field() {
            return self.quoted(&value.to_string());
        }
        self.field(value.as_bytes())
    }

    /// A `text`, or a domain over it.
    pub fn text(&mut self, value: &str) -> &mut Self {
        if self.json_field() {
            return self.quoted(value);
        }
        self.field(value.as_bytes())
    }

    /// A `bytea`: an address or a hash.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        if self.json_field() {
            return self.quoted(&format!("\\x{}", hex::encode(value)));
        }
        self.field(value)
    }

    /// A `boolean`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        if self.json_field() {
            return self.plain(&value.to_string());
        }
        self.field(&[u8::from(value)])
    }

    /// A `bigint`.
    pub fn bigint(&mut self, value: i64) -> &mut Self {
        if self.json_field() {
            return self.plain(&value.to_string());
        }
        self.field(&value.to_be_bytes())
    }

    /// An `integer`.
    pub fn integer(&mut self, value: i32) -> &mut Self {
        if self.json_field() {
            return self.plain(&value.to_string());
        }
        self.field(&value.to_be_bytes())
    }

    /// A `timestamptz`.
    pub fn time(&mut self, value: DateTime<Utc>) -> &mut Self {
        if self.json_field() {
            // chrono writes a sign before years of five digits, which PostgreSQL does not read.
            return self.quoted(&format!("{:04}-{}", value.year(), value.format("%m-%dT%TZ")));
        }
        self.field(&(value.timestamp_micros() - POSTGRES_EPOCH_MICROS).to_be_bytes())
    }

    /// No value at all.
    pub fn null(&mut self) -> &mut Self {
        if self.json_field() {
            return self.plain("null");
        }
        self.buffer.extend_from_slice(&(-1i32).to_be_bytes());
        self
    }

    /// A value that `write` writes, or none.
    pub fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T) -> &mut Self) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    /// An array of [`BYTEA`], [`BIGINT`], [`TEXT`] or [`NUMERIC`], each element written by `write`.
    pub fn array<T>(
        &mut self,
        element: i32,
        values: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        if self.json_field() {
            self.begin_elements(Some(0), b'[');
            values.for_each(|value| write(self, value));
            self.begin_elements(None, b']');
            return self;
        }
        let start = self.buffer.len();
        self.length(0);
        // Dimensions, whether there are nulls, type of the elements; per dimension its length and lowest index.
        let count = values.len() as i32;
        for word in [i32::from(count > 0), 0, element] {
            self.buffer.extend_from_slice(&word.to_be_bytes());
        }
        if count > 0 {
            for word in [count, 1] {
                self.buffer.extend_from_slice(&word.to_be_bytes());
            }
        }
        values.for_each(|value| write(self, value));
        self.measure(start)
    }

    /// A whole `numeric`.
    pub fn amount(&mut self, value: U256) -> &mut Self {
        if self.json_field() {
            return self.plain(&value.to_string());
        }
        // Base-10000 digits, lowest first; 2^256 has twenty.
        let mut digits = [0i16; 20];
        let mut count = 0usize;
        let mut rest = value;
        let base = U256::from(10_000);
        while !rest.is_zero() {
            // Most amounts fit a machine word, and dividing one costs a fraction of a division of 256 bits.
            let (quotient, digit) = if let Ok(small) = u64::try_from(rest) {
                (U256::from(small / 10_000), (small % 10_000) as i16)
            } else {
                let (quotient, digit) = rest.div_rem(base);
                (quotient, digit.to::<u64>() as i16)
            };
            digits[count] = digit;
            count += 1;
            rest = quotient;
        }
        // The lowest ones are left out while they are zero, as PostgreSQL does.
        let lowest = digits[..count].iter().take_while(|digit| **digit == 0).count();
        let weight = (count as i16 - 1).max(0);
        self.length(8 + 2 * (count - lowest));
        // Number of digits, weight of the first, sign, digits after the point.
        for word in [(count - lowest) as i16, weight, 0, 0] {
            self.buffer.extend_from_slice(&word.to_be_bytes());
        }
        for digit in digits[lowest..count].iter().rev() {
            self.buffer.extend_from_slice(&digit.to_be_bytes());
        }
        self
    }

    /// The fields of a single row.
    pub(crate) fn fields(&self) -> &[u8] {
        &self.buffer[HEADER.len() + 2..]
    }

    /// Begins a field of a row, or an element of an array, where rows are written as JSON.
    fn json_field(&mut self) -> bool {
        let Form::Json {
            names,
            written,
            elements,
        } = &mut self.form
        else {
            return false;
        };
        if let Some(elements) = elements {
            if *elements > 0 {
                self.buffer.push(b',');
            }
            *elements += 1;
            return true;
        }
        self.buffer
            .extend_from_slice(if *written == 0 { b"{\"" } else { b",\"" });
        self.buffer.extend_from_slice(names[*written].as_bytes());
        self.buffer.extend_from_slice(b"\":");
        *written += 1;
        true
    }

    fn begin_elements(&mut self, count: Option<usize>, bracket: u8) {
        self.buffer.push(bracket);
        if let Form::Json { elements, .. } = &mut self.form {
            *elements = count;
        }
    }

    fn plain(&mut self, value: &str) -> &mut Self {
        self.buffer.extend_from_slice(value.as_bytes());
        self
    }

    fn quoted(&mut self, value: &str) -> &mut Self {
        serde_json::to_writer(&mut self.buffer, value).expect("text is always JSON");
        self
    }

    fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len());
        self.buffer.extend_from_slice(bytes);
        self
    }

    /// Corrects the length of the field that begins at `start`.
    fn measure(&mut self, start: usize) -> &mut Self {
        let length = (self.buffer.len() - start - 4) as i32;
        self.buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
        self
    }

    fn length(&mut self, bytes: usize) {
        self.buffer.extend_from_slice(&(bytes as i32).to_be_bytes());
    }
}

/// The fields of a row that was read, as [`Rows::fields`] of what was written: COPY and queries share one form of values.
pub(crate) fn fields(row: &PgRow) -> Result<Vec<u8>, sqlx::Error> {
    let mut fields = Rows {
        buffer: Vec::new(),
        form: Form::Binary { columns: 0 },
    };
    for column in 0..row.len() {
        let value = row.try_get_raw(column)?;
        if value.is_null() {
            fields.null();
        } else {
            fields.field(value.as_bytes().map_err(sqlx::Error::Decode)?);
        }
    }
    Ok(fields.buffer)
}

/// A block's time as a timestamp.
pub fn timestamp(seconds: u64) -> DateTime<Utc> {
    let seconds = i64::try_from(seconds.min(LATEST_TIME)).expect("the latest time fits an i64");
    DateTime::from_timestamp(seconds, 0).expect("the latest time is within chrono's range")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(value: U256) -> Vec<u8> {
        let mut rows = Rows::new(1);
        rows.amount(value);
        rows.buffer[HEADER.len() + 4..].to_vec()
    }

    #[test]
    fn amounts_are_base_ten_thousand_digits() {
        assert_eq!(numeric(U256::ZERO), [0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(numeric(U256::from(7)), [0, 1, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(numeric(U256::from(10_000)), [0, 1, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(numeric(U256::from(10_000_007)), [0, 2, 0, 1, 0, 0, 0, 0, 3, 232, 0, 7]);
        assert_eq!(numeric(U256::MAX)[..4], [0, 20, 0, 19]);
    }

    #[test]
    fn absurd_times_become_the_latest() {
        assert_eq!(timestamp(u64::MAX).timestamp(), 8_210_000_000_000);
        assert_eq!(timestamp(1_700_000_000).timestamp(), 1_700_000_000);
    }
}
