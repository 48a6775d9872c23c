//! Plain HTTP, as any client speaks it: the tests must not share a mistake with the client crate.

use jiff::Timestamp;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// What a GET of a key answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub siblings: Option<String>,
    pub body: String,
}

/// An HTTP client that waits for its answers.
pub struct Http {
    runtime: Runtime,
    client: reqwest::Client,
}

impl Http {
    pub fn new() -> Self {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build().unwrap();
        Self { runtime: Runtime::new().unwrap(), client }
    }

    /// Writes a value; anything but a 2xx fails the test.
    pub fn put(&self, node: &str, key: &str, value: &str) {
        self.write(self.client.put(kv(node, key)).body(value.to_owned()));
    }

    pub fn delete(&self, node: &str, key: &str) {
        self.write(self.client.delete(kv(node, key)));
    }

    fn write(&self, request: reqwest::RequestBuilder) {
        let (status, body) = self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            (response.status(), response.text().await.unwrap())
        });
        assert!(status.is_success(), "{status}: {body}");
    }

    pub fn get(&self, node: &str, key: &str) -> Answer {
        self.answer(&kv(node, key)).unwrap()
    }

    /// Every sibling's value as text, in the order of the text.
    pub fn siblings(&self, node: &str, key: &str) -> Vec<String> {
        let answer = self.answer(&format!("{}?siblings=true", kv(node, key))).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        let mut values: Vec<String> =
            json["siblings"].as_array().unwrap().iter().map(|sibling| decoded(&sibling["value"])).collect();
        values.sort();
        values
    }

    /// What the node says about the cluster; `None` while it does not answer.
    pub fn cluster(&self, node: &str) -> Option<Value> {
        let answer = self.answer(&format!("{node}/v1/cluster")).ok()?;
        serde_json::from_str(&answer.body).ok().filter(|_| answer.status == 200)
    }

    fn answer(&self, url: &str) -> Result<Answer, reqwest::Error> {
        self.runtime.block_on(async {
            let response = self.client.get(url).send().await?;
            let header = response.headers().get("mangrove-siblings");
            let siblings = header.map(|value| value.to_str().unwrap().to_owned());
            Ok(Answer { status: response.status().as_u16(), siblings, body: response.text().await? })
        })
    }

    /// Waits until the nodes at all these addresses show one root, and gives it back.
    pub fn wait_equal_roots(&self, nodes: &[String], at_most: Duration) -> String {
        let began = Instant::now();
        loop {
            let roots: Vec<Option<String>> = nodes
                .iter()
                .map(|node| self.cluster(node).and_then(|view| view["root"].as_str().map(str::to_owned)))
                .collect();
            if let Some(Some(root)) = roots.first().filter(|first| roots.iter().all(|root| root == *first)) {
                println!("equal roots after {:.1?}", began.elapsed());
                return root.clone();
            }
            assert!(began.elapsed() < at_most, "roots differ after {at_most:?}: {roots:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until a node says that it was proven identical with the member of this name later than `since`.
    pub fn wait_identical(&self, node: &str, member: &str, since: Timestamp, at_most: Duration) {
        let began = Instant::now();
        loop {
            let view = self.cluster(node).unwrap_or_default();
            let members = view["members"].as_array().cloned().unwrap_or_default();
            let last = members
                .iter()
                .find(|one| one["name"] == member)
                .and_then(|one| one["last_identical"].as_str()?.parse::<Timestamp>().ok());
            if last.is_some_and(|last| last > since) {
                println!("proven identical with {member} after {:.1?}", began.elapsed());
                return;
            }
            assert!(began.elapsed() < at_most, "not proven identical with {member} since {since}: {view:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn kv(node: &str, key: &str) -> String {
    format!("{node}/v1/kv/{key}")
}

/// Values stand in JSON as base64.
fn decoded(value: &Value) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}
