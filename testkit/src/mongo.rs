//! A MongoDB database of one test.

use crate::database::finally;
use crate::services::{service, unique};
use crate::wire::Wire;
use url::Url;

/// A MongoDB database.
pub struct MongoDatabase {
    /// URL of the server.
    pub url: String,
    /// Name of the database.
    pub name: String,
}

impl MongoDatabase {
    /// Names the database; MongoDB makes it when something is written.
    #[expect(clippy::new_without_default, reason = "the name is a new one each time")]
    pub fn new() -> MongoDatabase {
        MongoDatabase {
            url: service("TEST_MONGODB_URL"),
            name: unique("test"),
        }
    }
}

impl MongoDatabase {
    /// URL of the server by way of `wire`. A replica set would name its members by addresses of their own, which no wire leads to.
    pub fn through(&self, wire: &Wire) -> String {
        let mut url: Url = wire.url(&self.url).parse().unwrap();
        url.set_query(Some("directConnection=true"));
        url.into()
    }
}

impl Drop for MongoDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        finally(async move {
            let client = mongodb::Client::with_uri_str(url).await.unwrap();
            client.database(&name).drop().await.unwrap();
        });
    }
}
