//! PUT, GET, HEAD and DELETE as a client sees them.

use crate::support::{Api, VALUE_BYTES_MAX};

#[tokio::test]
async fn a_value_is_created_read_replaced_and_deleted() {
    let api = Api::new();
    let created = api.call("PUT", "/v1/kv/etc/hosts", &[("content-type", "text/plain")], "127.0.0.1").await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("etag"), Some("\"e1\""));
    assert_eq!(created.header("mangrove-siblings"), Some("1"));
    assert!(created.header("mangrove-context").is_some());
    assert!(created.body.is_empty());

    let read = api.get("/v1/kv/etc/hosts").await;
    assert_eq!(read.status, 200);
    assert_eq!(read.body, "127.0.0.1");
    assert_eq!(read.header("content-type"), Some("text/plain"));
    assert_eq!(read.header("etag"), Some("\"e1\""));
    assert_eq!(read.header("mangrove-siblings"), Some("1"));
    assert!(read.header("mangrove-context").is_some());
    assert_eq!(read.header("content-security-policy"), Some("sandbox"));

    let replaced = api.put("/v1/kv/etc/hosts", "::1").await;
    assert_eq!(replaced.status, 204);
    assert_eq!(replaced.header("etag"), Some("\"e2\""));
    let read = api.get("/v1/kv/etc/hosts").await;
    assert_eq!(
        (read.header("content-type"), &read.body[..]),
        (Some("application/octet-stream"), &b"::1"[..])
    );

    let deleted = api.call("DELETE", "/v1/kv/etc/hosts", &[], "").await;
    assert_eq!(deleted.status, 204);
    assert_eq!(deleted.header("mangrove-siblings"), Some("0"));
    let gone = api.get("/v1/kv/etc/hosts").await;
    gone.is_problem(404, "key-not-found");
    assert!(gone.header("mangrove-context").is_some(), "a tombstone was shown whole");
    let created = api.put("/v1/kv/etc/hosts", "again").await;
    assert_eq!(created.status, 201);
}

#[tokio::test]
async fn what_was_never_written_is_404_without_a_token() {
    let api = Api::new();
    let answer = api.get("/v1/kv/never%2fwritten%00").await;
    let document = answer.is_problem(404, "key-not-found");
    assert!(document["detail"].as_str().unwrap().contains("never/written%00"));
    assert_eq!(document["instance"], "/v1/kv/never%2fwritten%00");
    assert_eq!(answer.header("mangrove-context"), None);
    assert_eq!(api.call("DELETE", "/v1/kv/never", &[], "").await.status, 204);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let api = Api::new();
    api.put("/v1/kv/a", "12345").await;
    for target in
        ["/v1/kv/a", "/v1/kv?key=a", "/v1/kv/a?siblings=true", "/v1/kv/none", "/v1/kv", "/v1/cluster"]
    {
        let get = api.get(target).await;
        let head = api.call("HEAD", target, &[], "").await;
        assert_eq!(head.status, get.status, "{target}");
        assert!(head.body.is_empty());
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{target}");
        for name in ["etag", "content-type", "mangrove-siblings", "mangrove-context"] {
            assert_eq!(head.header(name), get.header(name), "{target} {name}");
        }
    }
}

#[tokio::test]
async fn a_token_comes_only_with_every_sibling() {
    let api = Api::new();
    api.fake.add_sibling(b"k", b"one", Some("text/plain"));
    api.fake.add_sibling(b"k", b"two", None);
    let some = api.get("/v1/kv/k").await;
    assert_eq!((some.status.as_u16(), &some.body[..]), (200, &b"two"[..]));
    assert_eq!(some.header("mangrove-siblings"), Some("2"));
    assert_eq!(some.header("mangrove-context"), None);

    let all = api.get("/v1/kv/k?siblings=true").await;
    assert_eq!(all.header("mangrove-siblings"), Some("2"));
    assert_eq!(all.header("content-type"), Some("application/json"));
    let token = all.header("mangrove-context").unwrap().to_owned();
    let json = all.json();
    assert_eq!(json["key"], "k");
    assert_eq!(
        json["siblings"][1],
        serde_json::json!({
            "value": "b25l", "content_type": "text/plain", "etag": "e1",
            "dot": "1700000000001.0@0000000000000001", "time": "2023-11-14T22:13:20.001Z",
            "expires": null,
        })
    );
    assert_eq!(json["siblings"][0]["content_type"], serde_json::Value::Null);

    api.fake.add_sibling(b"k", b"three", None);
    let written = api.call("PUT", "/v1/kv/k", &[("mangrove-context", &token)], "merged").await;
    assert_eq!(written.status, 204);
    assert_eq!(written.header("mangrove-siblings"), Some("2"));
    assert_eq!(written.header("mangrove-context"), None, "a sibling was not shown");
    assert_eq!(api.fake.values(b"k"), [b"merged".to_vec(), b"three".to_vec()]);
    let deleted = api.call("DELETE", "/v1/kv/k", &[("mangrove-context", &token)], "").await;
    assert_eq!((deleted.status.as_u16(), deleted.header("mangrove-siblings")), (204, Some("2")));
    assert_eq!(deleted.header("mangrove-context"), None);
}

#[tokio::test]
async fn a_value_with_a_ttl_says_when_it_expires() {
    let api = Api::new();
    let written = api.put("/v1/kv/k?ttl=30s", "v").await;
    let expires = "2023-11-14T22:13:50.001Z";
    assert_eq!((written.status.as_u16(), written.header("mangrove-expires")), (201, Some(expires)));
    for target in ["/v1/kv/k", "/v1/kv?key=k"] {
        for method in ["GET", "HEAD"] {
            assert_eq!(api.call(method, target, &[], "").await.header("mangrove-expires"), Some(expires));
        }
    }
    let held = api.call("GET", "/v1/kv/k", &[("if-none-match", "\"e1\"")], "").await;
    assert_eq!((held.status.as_u16(), held.header("mangrove-expires")), (304, Some(expires)));
    assert_eq!(api.get("/v1/kv/k?siblings=true").await.json()["siblings"][0]["expires"], expires);
    assert_eq!(api.get("/v1/kv").await.json()["items"][0]["expires"], expires);

    // A write without one makes the value lasting.
    assert_eq!(api.put("/v1/kv?key=k", "v").await.header("mangrove-expires"), None);
    assert_eq!(api.get("/v1/kv/k").await.header("mangrove-expires"), None);
    assert_eq!(api.get("/v1/kv").await.json()["items"][0]["expires"], serde_json::Value::Null);
    let written = api.put("/v1/kv?key=k&ttl=7d", "v").await;
    assert_eq!(written.header("mangrove-expires"), Some("2023-11-21T22:13:20.003Z"));
}

#[tokio::test]
async fn a_ttl_that_is_none_is_refused_with_what_to_write() {
    let api = Api::new();
    for ttl in ["", "30", "-1s", "s", "1.5", "30x", "forever", "%ff", "1e3s", "99999999999999999999d"] {
        let answer = api.put(&format!("/v1/kv/k?ttl={ttl}"), "v").await;
        let document = answer.is_problem(400, "bad-ttl");
        assert!(document["detail"].as_str().unwrap().contains("ttl=30s"), "{ttl}");
    }
    // What only the service can judge.
    api.put("/v1/kv/k?ttl=0s", "v").await.is_problem(400, "bad-ttl");
    assert!(api.fake.is_empty());
    api.put("/v1/kv/k?ttl=1s&ttl=2s", "v").await.is_problem(400, "duplicate-parameter");
    api.get("/v1/kv/k?ttl=1s").await.is_problem(400, "unknown-parameter");
    api.call("DELETE", "/v1/kv/k?ttl=1s", &[], "").await.is_problem(400, "unknown-parameter");
}

#[tokio::test]
async fn a_key_may_hold_any_byte() {
    let api = Api::new();
    for (target, key) in [
        ("/v1/kv/a%2Fb", &b"a/b"[..]),
        ("/v1/kv//a//b/", b"/a//b/"),
        ("/v1/kv/../../etc/passwd", b"../../etc/passwd"),
        ("/v1/kv/.", b"."),
        ("/v1/kv/a+b", b"a+b"),
        ("/v1/kv/%00%01%ff%FE%25", b"\x00\x01\xff\xfe%"),
        ("/v1/kv/%C3%BC", "\u{fc}".as_bytes()),
        ("/v1/kv?key=../x/..", b"../x/.."),
        ("/v1/kv?key=c%2B%2b+c", b"c++ c"),
        ("/v1/kv?key=a=b", b"a=b"),
    ] {
        assert_eq!(api.put(target, "v").await.status, 201, "{target}");
        assert_eq!(api.fake.values(key), [b"v".to_vec()], "{target}");
        assert_eq!(api.get(target).await.body, "v");
        assert_eq!(api.call("DELETE", target, &[], "").await.status, 204);
        assert!(api.fake.values(key).is_empty());
    }
    let every: String = (0..=255).map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(api.put(&format!("/v1/kv/{every}"), "all").await.status, 201);
    assert_eq!(api.fake.values(&(0..=255).collect::<Vec<u8>>()), [b"all".to_vec()]);
    let longest = "%41".repeat(1024);
    assert_eq!(api.put(&format!("/v1/kv/{longest}"), "long").await.status, 201);
}

#[tokio::test]
async fn values_of_every_legal_size_come_back_whole() {
    let api = Api::new();
    for length in [0, 1, VALUE_BYTES_MAX - 1, VALUE_BYTES_MAX] {
        let value: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let target = format!("/v1/kv/of-{length}");
        assert_eq!(api.call("PUT", &target, &[], value.clone()).await.status, 201);
        assert!(api.get(&target).await.body == value, "{length}");
    }
}

#[tokio::test]
async fn a_client_that_holds_the_version_is_told_so() {
    let api = Api::new();
    api.put("/v1/kv/a", "1").await;
    for (condition, status) in
        [("\"e1\"", 304), ("\"x\", W/\"e1\"", 304), ("*", 304), ("\"e2\"", 200), ("e1", 200), ("", 200)]
    {
        let answer = api.call("GET", "/v1/kv/a", &[("if-none-match", condition)], "").await;
        assert_eq!(answer.status, status, "{condition}");
        assert_eq!(answer.header("etag"), Some("\"e1\""));
        assert_eq!(answer.body.is_empty(), status == 304);
    }
}

#[tokio::test]
async fn listings_page_through_the_keys() {
    let api = Api::new();
    for key in ["a/1", "a/2", "a/%ff", "b"] {
        api.put(&format!("/v1/kv/{key}"), "xyz").await;
    }
    api.call("DELETE", "/v1/kv/a/2", &[], "").await;
    let keys = |json: &serde_json::Value| -> Vec<String> {
        json["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["key"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = api.get("/v1/kv").await.json();
    assert_eq!(keys(&all), ["a/1", "a/%FF", "b"]);
    assert_eq!(all["next"], serde_json::Value::Null);
    assert_eq!(
        all["items"][0],
        serde_json::json!({
            "key": "a/1", "size": 3, "etag": "e1", "content_type": null, "siblings": 1, "expires": null,
            "dot": "1700000000001.0@0000000000000001", "time": "2023-11-14T22:13:20.001Z",
        })
    );
    assert_eq!(keys(&api.get("/v1/kv?prefix=a%2f").await.json()), ["a/1", "a/%FF"]);
    let first = api.get("/v1/kv?limit=1&prefix=a/").await.json();
    assert_eq!(first["next"], "a/%FF");
    let second = api.get("/v1/kv?limit=1&prefix=a/&start=a/%FF").await.json();
    assert_eq!((keys(&second), &second["next"]), (vec!["a/%FF".to_owned()], &serde_json::Value::Null));
    assert_eq!(keys(&api.get("/v1/kv?limit=1000&start=b").await.json()), ["b"]);
}
