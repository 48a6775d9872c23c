//! Reading and writing one key.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::Key;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::endpoint::{target, with_parameter};
use crate::send::{Answer, Call};
use crate::{Client, Error};

const CONTEXT: &str = "mangrove-context";
const SIBLINGS: &str = "mangrove-siblings";
const EXPIRES: &str = "mangrove-expires";

/// How a PUT is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// What the value is; kept and given back.
    pub content_type: Option<String>,
    /// The context token of a read of this key: replace exactly what that read showed. Without
    /// one, all that the node holds is replaced.
    pub context: Option<String>,
    /// After how long the value expires: 1 ms to 100 years, in whole milliseconds. Without one it stays, whatever it
    /// replaces.
    pub ttl: Option<Duration>,
    /// Add the value beside all that is there, replacing nothing; not together with a context token.
    pub add: bool,
}

/// What a PUT did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// True when the key had no value before.
    pub created: bool,
    /// Siblings under the key afterwards, the written one included.
    pub siblings: usize,
    /// The written value's entity tag, without quotes.
    pub etag: String,
    /// A context token, when the written value stands alone.
    pub context: Option<String>,
    /// When the value expires, RFC 3339; `None`: it does not.
    pub expires: Option<String>,
}

/// What a DELETE left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Siblings that remain because the context did not cover them.
    pub siblings: usize,
    /// A context token, when none remains.
    pub context: Option<String>,
}

/// What a GET showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The value, of several siblings the one written last. `None`: never written, or deleted.
    pub value: Option<Value>,
    /// How many siblings there are.
    pub siblings: usize,
    /// A context token, when all there is was shown. A deleted key has one, a key never written
    /// none.
    pub context: Option<String>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its bytes.
    pub bytes: Bytes,
    /// What its writer said it is, or `application/octet-stream`.
    pub content_type: String,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// When it expires, RFC 3339; `None`: it does not.
    pub expires: Option<String>,
}

/// What a HEAD showed: as [`Read`], without the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headed {
    /// The value's description. `None`: never written, or deleted.
    pub head: Option<Head>,
    /// How many siblings there are.
    pub siblings: usize,
    /// A context token, as in [`Read`].
    pub context: Option<String>,
}

/// A value, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its length in bytes.
    pub size: u64,
    /// What its writer said it is, or `application/octet-stream`.
    pub content_type: String,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// When it expires, RFC 3339; `None`: it does not.
    pub expires: Option<String>,
}

/// All siblings of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Siblings {
    /// The siblings, the one written last first. Empty: never written, or deleted.
    pub siblings: Vec<Sibling>,
    /// A context token that covers all of them.
    pub context: Option<String>,
}

/// One sibling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    /// Its bytes.
    pub value: Bytes,
    /// What its writer said it is.
    pub content_type: Option<String>,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// The id of its write.
    pub dot: String,
    /// When its writer's clock said it was written, RFC 3339.
    pub time: Option<String>,
    /// When it expires, RFC 3339; `None`: it does not.
    pub expires: Option<String>,
}

#[derive(Deserialize)]
struct SiblingsForm {
    siblings: Vec<SiblingForm>,
}

#[derive(Deserialize)]
struct SiblingForm {
    value: String,
    content_type: Option<String>,
    etag: String,
    dot: String,
    time: Option<String>,
    #[serde(default)]
    expires: Option<String>,
}

impl Client {
    /// Stores a value and returns once the node has it on disk. Replaces all that the node holds.
    ///
    /// # Errors
    /// Any [`Error`]. [`Error::Unreachable`] with `sent`, [`Error::Decode`] and a
    /// [`crate::Problem`] that does not say otherwise leave open whether it was stored.
    pub async fn put(&self, key: &Key, value: impl Into<Bytes>) -> Result<Written, Error> {
        self.put_with(key, value, &PutOptions::default()).await
    }

    /// The same with a content type, a context token or a time to live.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn put_with(
        &self,
        key: &Key,
        value: impl Into<Bytes>,
        options: &PutOptions,
    ) -> Result<Written, Error> {
        let mut target = target(key);
        if let Some(ttl) = options.ttl {
            target = with_parameter(&target, &format!("ttl={}ms", ttl.as_millis()));
        }
        if options.add {
            target = with_parameter(&target, "add=true");
        }
        let mut call = Call::new(Method::PUT, target);
        if let Some(content_type) = &options.content_type {
            call = call.header("content-type", content_type)?;
        }
        if let Some(context) = &options.context {
            call = call.header(CONTEXT, context)?;
        }
        call.body = Some(value.into());
        let answer = self.send(call).await?;
        Ok(Written {
            created: answer.status == StatusCode::CREATED,
            siblings: answer.siblings()?,
            etag: answer.etag()?,
            context: answer.context(),
            expires: answer.expires(),
        })
    }

    /// Reads a key.
    ///
    /// # Errors
    /// Any [`Error`]; that nothing is stored under the key is none.
    pub async fn get(&self, key: &Key) -> Result<Read, Error> {
        match self.send(Call::new(Method::GET, target(key))).await {
            Ok(answer) => {
                let value = Value {
                    content_type: answer.content_type(),
                    etag: answer.etag()?,
                    expires: answer.expires(),
                    bytes: answer.body.clone(),
                };
                Ok(Read { value: Some(value), siblings: answer.siblings()?, context: answer.context() })
            }
            Err(error) => Ok(Read { value: None, siblings: 0, context: absent(error)? }),
        }
    }

    /// Reads all siblings of a key.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_siblings(&self, key: &Key) -> Result<Siblings, Error> {
        match self.send(Call::new(Method::GET, with_parameter(&target(key), "siblings=true"))).await {
            Ok(answer) => {
                let form: SiblingsForm = answer.json()?;
                let siblings: Result<Vec<_>, Error> =
                    form.siblings.into_iter().map(|form| sibling(&answer, form)).collect();
                Ok(Siblings { siblings: siblings?, context: answer.context() })
            }
            Err(error) => Ok(Siblings { siblings: Vec::new(), context: absent(error)? }),
        }
    }

    /// Asks what is stored under a key, without its bytes.
    ///
    /// # Errors
    /// As [`Client::get`]; a failure comes without its reason, since an answer to HEAD has no
    /// body.
    pub async fn head(&self, key: &Key) -> Result<Headed, Error> {
        match self.send(Call::new(Method::HEAD, target(key))).await {
            Ok(answer) => {
                let size = answer.text(CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok());
                let head = Head {
                    size: size.ok_or_else(|| answer.strange("it has no Content-Length"))?,
                    content_type: answer.content_type(),
                    etag: answer.etag()?,
                    expires: answer.expires(),
                };
                Ok(Headed { head: Some(head), siblings: answer.siblings()?, context: answer.context() })
            }
            Err(error) => Ok(Headed { head: None, siblings: 0, context: absent(error)? }),
        }
    }

    /// Deletes a key and returns once the node has that on disk. With a context token exactly what
    /// it covers is deleted, without one all that the node holds.
    ///
    /// # Errors
    /// As [`Client::put`]; that there was nothing to delete is none.
    pub async fn delete(&self, key: &Key, context: Option<&str>) -> Result<Deleted, Error> {
        let mut call = Call::new(Method::DELETE, target(key));
        if let Some(context) = context {
            call = call.header(CONTEXT, context)?;
        }
        let answer = self.send(call).await?;
        Ok(Deleted { siblings: answer.siblings()?, context: answer.context() })
    }
}

/// A 404 of a node is an answer: nothing is there. Returns the tombstone's token.
fn absent(error: Error) -> Result<Option<String>, Error> {
    match error {
        // An answer to HEAD has no type.
        Error::Problem(problem)
            if problem.status == 404 && matches!(problem.slug(), "key-not-found" | "") =>
        {
            Ok(problem.context)
        }
        error => Err(error),
    }
}

fn sibling(answer: &Answer, form: SiblingForm) -> Result<Sibling, Error> {
    let value =
        STANDARD.decode(form.value).map_err(|error| answer.strange(format!("a value's base64: {error}")))?;
    Ok(Sibling {
        value: value.into(),
        content_type: form.content_type,
        etag: form.etag,
        dot: form.dot,
        time: form.time,
        expires: form.expires,
    })
}

impl Answer {
    pub(crate) fn strange(&self, reason: impl Into<String>) -> Error {
        Error::Decode { endpoint: self.endpoint.clone(), reason: reason.into() }
    }

    pub(crate) fn json<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.strange(error.to_string()))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn context(&self) -> Option<String> {
        self.text(CONTEXT).map(str::to_owned)
    }

    fn expires(&self) -> Option<String> {
        self.text(EXPIRES).map(str::to_owned)
    }

    fn siblings(&self) -> Result<usize, Error> {
        let count = self.text(SIBLINGS).and_then(|count| count.parse().ok());
        count.ok_or_else(|| self.strange("it has no Mangrove-Siblings"))
    }

    fn etag(&self) -> Result<String, Error> {
        let tag = self.text(ETAG.as_str()).and_then(|tag| tag.strip_prefix('"')?.strip_suffix('"'));
        tag.map(str::to_owned).ok_or_else(|| self.strange("it has no ETag"))
    }

    fn content_type(&self) -> String {
        self.text(CONTENT_TYPE.as_str()).unwrap_or("application/octet-stream").to_owned()
    }
}
