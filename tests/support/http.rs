//! Plain HTTP, as any client speaks it: the tests must not share a mistake with the client crate.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use reqwest::Method;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::view::View;

/// How the error of a request begins that never left.
pub const NOT_SENT: &str = "no connection to";

static CLIENT: LazyLock<(Runtime, reqwest::Client)> = LazyLock::new(|| {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build();
    (Runtime::new().unwrap(), client.unwrap())
});

/// What a node answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

/// All siblings of a key.
#[derive(Debug, Clone, Default)]
pub struct Siblings {
    pub values: BTreeSet<String>,
    pub context: Option<String>,
}

/// The HTTP API of one node. Keys are percent-encoded by the caller where they must be ([`encoded`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    pub address: SocketAddr,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The last part of a problem's `type`, where the answer is a problem document that is whole.
    pub fn problem(&self) -> Option<String> {
        if self.header("content-type") != Some("application/problem+json") {
            return None;
        }
        let document = self.json();
        let whole = document["status"] == self.status
            && document["title"].as_str().is_some_and(|title| !title.is_empty())
            && document["detail"].as_str().is_some_and(|detail| detail.len() > 10);
        let kind = document["type"].as_str()?.strip_prefix("urn:mangrove:problem:")?;
        whole.then(|| kind.to_owned())
    }
}

impl Api {
    /// Sends any request. `Err`: there was no answer, whatever has become of the request; it begins with
    /// [`NOT_SENT`] where nothing was even sent.
    pub fn send(
        self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer, String> {
        let (runtime, client) = &*CLIENT;
        let mut request = client.request(method, format!("http://{}{target}", self.address)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answered = async {
            let response = request.send().await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Ok::<_, reqwest::Error>(Answer { status, headers, body: response.bytes().await?.to_vec() })
        };
        runtime.block_on(answered).map_err(|error| {
            let what = if error.is_connect() { NOT_SENT } else { "no answer from" };
            format!("{what} {}: {error:?}", self.address)
        })
    }

    pub fn fetch(self, target: &str) -> Result<Answer, String> {
        self.send(Method::GET, target, &[], "")
    }

    pub fn try_put(self, key: &str, value: impl Into<reqwest::Body>) -> Result<Answer, String> {
        self.send(Method::PUT, &path(key), &[], value)
    }

    pub fn try_delete(self, key: &str) -> Result<Answer, String> {
        self.send(Method::DELETE, &path(key), &[], "")
    }

    /// Writes a value; anything but a 2xx fails the test.
    #[track_caller]
    pub fn put(self, key: &str, value: impl Into<reqwest::Body>) -> Answer {
        succeeded(self.try_put(key, value))
    }

    /// Writes a value that replaces what the context token covers.
    #[track_caller]
    pub fn put_over(self, key: &str, value: &str, context: &str) -> Answer {
        succeeded(self.send(Method::PUT, &path(key), &[("mangrove-context", context)], value.to_owned()))
    }

    #[track_caller]
    pub fn delete(self, key: &str) -> Answer {
        succeeded(self.try_delete(key))
    }

    #[track_caller]
    pub fn get(self, key: &str) -> Answer {
        self.fetch(&path(key)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The value, or `None` where there is none; any other answer fails the test.
    #[track_caller]
    pub fn value(self, key: &str) -> Option<Vec<u8>> {
        let answer = self.get(key);
        match answer.status {
            200 => Some(answer.body),
            404 => None,
            status => panic!("GET {key} from {}: {status} {}", self.address, answer.text()),
        }
    }

    #[track_caller]
    pub fn text(self, key: &str) -> Option<String> {
        self.value(key).map(|value| String::from_utf8(value).unwrap())
    }

    /// Every sibling of the key; none where there is no value.
    #[track_caller]
    pub fn siblings(self, key: &str) -> Siblings {
        self.try_siblings(key).unwrap_or_else(|error| panic!("siblings of {key}: {error}"))
    }

    pub fn try_siblings(self, key: &str) -> Result<Siblings, String> {
        let answer = self.fetch(&format!("{}?siblings=true", path(key)))?;
        let context = answer.header("mangrove-context").map(str::to_owned);
        match answer.status {
            200 => {}
            404 => return Ok(Siblings { values: BTreeSet::new(), context }),
            status => return Err(format!("{status} {}", answer.text())),
        }
        let json = answer.json();
        let values: BTreeSet<String> =
            json["siblings"].as_array().unwrap().iter().map(|sibling| decoded(&sibling["value"])).collect();
        Ok(Siblings { values, context })
    }

    /// Every key that begins so, as the listing spells them, page by page.
    #[track_caller]
    pub fn keys(self, prefix: &str) -> Vec<String> {
        let (mut keys, mut start) = (Vec::new(), None::<String>);
        loop {
            let from = start.map(|start| format!("&start={}", start.replace('&', "%26"))).unwrap_or_default();
            let page = succeeded(self.fetch(&format!("/v1/kv?prefix={prefix}&limit=500{from}"))).json();
            let items = page["items"].as_array().unwrap();
            keys.extend(items.iter().map(|item| item["key"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => start = Some(next.to_owned()),
                None => return keys,
            }
        }
    }

    /// What the node says about the cluster; `Err` while it does not.
    pub fn view(self) -> Result<View, String> {
        let answer = self.fetch("/v1/cluster")?;
        if answer.status != 200 {
            return Err(format!("{}: {} {}", self.address, answer.status, answer.text()));
        }
        serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", answer.text()))
    }
}

fn path(key: &str) -> String {
    format!("/v1/kv/{key}")
}

#[track_caller]
fn succeeded(answer: Result<Answer, String>) -> Answer {
    let answer = answer.unwrap_or_else(|error| panic!("{error}"));
    assert!(answer.is_success(), "{} {}", answer.status, answer.text());
    answer
}

/// Any bytes as they stand in a path: letters, digits and a few marks as they are.
pub fn encoded(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(*byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    bytes.iter().map(one).collect()
}

/// Values stand in JSON as base64.
fn decoded(value: &Value) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}
