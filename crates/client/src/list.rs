//! Listing keys.

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use model::Key;
use reqwest::Method;
use serde::Deserialize;

use crate::endpoint::encoded;
use crate::send::{Answer, Call};
use crate::{Client, Error};

/// How many keys a page of [`Client::keys`] has.
const PAGE: usize = 1_000;

/// One page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The keys, in ascending byte order.
    pub items: Vec<Listed>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Key>,
}

/// One key of a listing. Size, tag, content type, dot, time and expiry are those of the sibling that a
/// GET answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: Key,
    /// Length of the value in bytes.
    pub size: u64,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// What its writer said it is.
    pub content_type: Option<String>,
    /// The id of its write.
    pub dot: String,
    /// When its writer's clock said it was written, RFC 3339.
    pub time: Option<String>,
    /// How many siblings the key has.
    pub siblings: usize,
    /// When the value expires, RFC 3339; `None`: it does not.
    pub expires: Option<String>,
}

#[derive(Deserialize)]
struct PageForm {
    items: Vec<ListedForm>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct ListedForm {
    key: String,
    size: u64,
    etag: String,
    #[serde(default)]
    content_type: Option<String>,
    dot: String,
    #[serde(default)]
    time: Option<String>,
    siblings: usize,
    #[serde(default)]
    expires: Option<String>,
}

impl Client {
    /// One page of the keys that begin with `prefix`, from `start` on; `limit` is 1 to 1,000.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn list(&self, prefix: &[u8], start: Option<&[u8]>, limit: usize) -> Result<Page, Error> {
        let mut target = format!("/v1/kv?limit={limit}&prefix={}", encoded(prefix));
        if let Some(start) = start {
            target = format!("{target}&start={}", encoded(start));
        }
        let answer = self.send(Call::new(Method::GET, target)).await?;
        let form: PageForm = answer.json()?;
        let items: Result<Vec<_>, Error> = form.items.into_iter().map(|item| listed(&answer, item)).collect();
        let next = form.next.map(|next| key(&answer, &next)).transpose()?;
        Ok(Page { items: items?, next })
    }

    /// All keys that begin with `prefix`, page by page. The listing is not of one instant: a key
    /// written meanwhile may be there or not.
    pub fn keys(&self, prefix: &[u8]) -> impl Stream<Item = Result<Listed, Error>> + Send + use<> {
        let client = self.clone();
        let prefix = prefix.to_vec();
        // The start of the page to fetch; None once the last one was.
        let pages = stream::try_unfold(Some(None::<Key>), move |at| {
            let (client, prefix) = (client.clone(), prefix.clone());
            async move {
                let Some(start) = at else { return Ok::<_, Error>(None) };
                let page = client.list(&prefix, start.as_ref().map(Key::as_bytes), PAGE).await?;
                // A server that does not move on must not keep us for ever.
                let next = page.next.filter(|next| start.as_ref().is_none_or(|start| next > start));
                Ok(Some((page.items, next.map(Some))))
            }
        });
        pages.map_ok(|items| stream::iter(items).map(Ok)).try_flatten()
    }
}

fn listed(answer: &Answer, form: ListedForm) -> Result<Listed, Error> {
    Ok(Listed {
        key: key(answer, &form.key)?,
        size: form.size,
        etag: form.etag,
        content_type: form.content_type,
        dot: form.dot,
        time: form.time,
        siblings: form.siblings,
        expires: form.expires,
    })
}

fn key(answer: &Answer, text: &str) -> Result<Key, Error> {
    Key::from_percent(text).map_err(|error| answer.strange(format!("a key: {error}")))
}
