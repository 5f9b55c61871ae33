//! Reading the file, the environment on top of it, and turning what is wrong into one line.

use std::collections::BTreeSet;
use std::path::Path;

use super::chain::ChainConfig;
use super::settings::Config;
use super::value::{DatabaseUrl, MONGODB, RABBITMQ, optional};
use crate::error::{Exit, Failure};

/// Overrides `database.url`.
pub const DATABASE_VARIABLE: &str = "DATABASE_URL";
/// Overrides `archive.url`.
pub const ARCHIVE_VARIABLE: &str = "MONGODB_URL";
/// Overrides `broker.url`.
pub const BROKER_VARIABLE: &str = "AMQP_URL";

/// Looks up an environment variable; tests pass their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Reads `path` and lays the environment over it.
    pub fn load(path: &Path, environment: Environment<'_>) -> Result<Config, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let shown = path.display();
            Failure::new(
                Exit::Config,
                format!("failed to read {shown}: {error}: name the configuration with --config FILE"),
            )
        })?;
        let mut config = Config::parse(&text, &path.display().to_string())?;
        config.file = Some(path.to_path_buf());
        config.override_from(environment)?;
        Ok(config)
    }

    /// The configuration written in `text`; `shown` names the file in errors.
    pub fn parse(text: &str, shown: &str) -> Result<Config, Failure> {
        let config: Config = toml::from_str(text).map_err(|error| explain(error, text, shown))?;
        config.check_once(text, shown)?;
        Ok(config)
    }

    /// Lays `DATABASE_URL`, `MONGODB_URL` and `AMQP_URL` over the file; an empty variable counts as absent.
    pub fn override_from(&mut self, environment: Environment<'_>) -> Result<(), Failure> {
        let set = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let explain =
            |name: &str, error: String| Failure::new(Exit::Config, format!("environment variable {name}: {error}"));
        if let Some(url) = set(DATABASE_VARIABLE) {
            self.database.url = DatabaseUrl::parse(&url).map_err(|error| explain(DATABASE_VARIABLE, error))?;
        }
        if let Some(url) = set(ARCHIVE_VARIABLE) {
            self.archive.url = optional(&url, &MONGODB).map_err(|error| explain(ARCHIVE_VARIABLE, error))?;
        }
        if let Some(url) = set(BROKER_VARIABLE) {
            self.broker.url = optional(&url, &RABBITMQ).map_err(|error| explain(BROKER_VARIABLE, error))?;
        }
        Ok(())
    }

    /// Refuses a chain, or an endpoint, contract or currency of a chain, that is written twice, and endpoints without a place for
    /// their secret.
    fn check_once(&self, text: &str, shown: &str) -> Result<(), Failure> {
        let mut chains = BTreeSet::new();
        for chain in &self.chains {
            let name = chain.caip2.to_string();
            if !chains.insert(chain.caip2) {
                return Err(written_twice(text, shown, &name, &format!("chains: {name}")));
            }
            check_chain_once(chain, text, shown)?;
        }
        Ok(())
    }
}

fn check_chain_once(chain: &ChainConfig, text: &str, shown: &str) -> Result<(), Failure> {
    let mut urls = BTreeSet::new();
    for endpoint in &chain.endpoints {
        if !urls.insert(endpoint.url.expose()) {
            let what = format!("chains.endpoints: {} of {}", endpoint.url, chain.caip2);
            return Err(written_twice(text, shown, endpoint.url.expose(), &what));
        }
        if let Err(error) = endpoint.url.check_auth(endpoint.auth_type) {
            let line = line_of(text, endpoint.url.expose(), 0);
            return Err(Failure::new(
                Exit::Config,
                format!("{shown}{line}: chains.endpoints: {error}"),
            ));
        }
    }
    let mut addresses = BTreeSet::new();
    for contract in &chain.contracts {
        if !addresses.insert(contract.address) {
            let address = format!("{:#x}", contract.address);
            let what = format!("chains.contracts: {address} of {}", chain.caip2);
            return Err(written_twice(text, shown, &address, &what));
        }
    }
    let mut currencies = BTreeSet::new();
    for currency in &chain.currencies {
        if !currencies.insert(currency.address) {
            let address = format!("{:#x}", currency.address);
            let what = format!("chains.currencies: {address} of {}", chain.caip2);
            return Err(written_twice(text, shown, &address, &what));
        }
    }
    Ok(())
}

/// The failure for a value whose second occurrence is one too many.
fn written_twice(text: &str, shown: &str, value: &str, what: &str) -> Failure {
    let line = line_of(text, value, 1);
    Failure::new(
        Exit::Config,
        format!("{shown}{line}: {what} is written twice: keep one"),
    )
}

/// `:` and the number of the line in which `value` stands for the `nth` time, from 0; nothing where none does.
fn line_of(text: &str, value: &str, nth: usize) -> String {
    let value = value.to_lowercase();
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with('#') && line.to_lowercase().contains(&value))
        .nth(nth)
        .map_or_else(String::new, |(index, _)| format!(":{}", index + 1))
}

/// File and line, key, what is wrong and what is allowed, in one line.
fn explain(mut error: toml::de::Error, text: &str, shown: &str) -> Failure {
    let line = error.span().map_or_else(String::new, |span| {
        let before = text.get(..span.start).unwrap_or(text);
        format!(":{}", before.matches('\n').count() + 1)
    });
    let message = error.message().replace('\n', " ");
    // Without its input the error shows the path of the key instead of a picture of the line.
    error.set_input(None);
    let rendered = error.to_string();
    let key = rendered
        .rsplit_once("in `")
        .and_then(|(_, key)| key.trim_end().strip_suffix('`'));
    let key = key.map_or_else(String::new, |key| format!(" {key}:"));
    Failure::new(Exit::Config, format!("{shown}{line}:{key} {message}"))
}
