//! Small JSON bodies: one object, each field known and given once.

use std::fmt;
use std::time::Duration;

use axum::http::header;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::app::App;
use crate::body::{BodyLimits, Inbound};
use crate::problem::{Problem, ProblemKind};
use crate::service::Service;

/// Longest JSON body that is read, in bytes.
pub(crate) const JSON_BYTES_MAX: usize = 4 * 1024;

/// Longest piece of a client's text that a problem repeats, in characters.
const SHOWN_CHARS_MAX: usize = 64;

/// The fields of an object as they were sent.
#[derive(Debug)]
pub(crate) struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Reads a request's body, in which only `known` may appear.
    pub async fn read<S: Service>(
        app: &App<S>,
        parts: &Parts,
        body: &mut Inbound,
        known: &[&str],
    ) -> Result<Fields, Problem> {
        is_json(parts)?;
        let limits = BodyLimits { bytes_max: JSON_BYTES_MAX, ..app.body_limits };
        body.announced(&limits).map_err(too_large)?;
        let bytes = body.read(&limits).await.map_err(too_large)?;
        Fields::parse(&bytes, known)
    }

    fn parse(bytes: &[u8], known: &[&str]) -> Result<Fields, Problem> {
        let fields: Fields = serde_json::from_slice(bytes).map_err(|error| bad_json(&error, known))?;
        for (at, (name, _)) in fields.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let detail = format!("'{}' is not known here. Known: {}.", shown(name), known.join(", "));
                return Err(Problem::new(ProblemKind::UnknownField, detail));
            }
            if fields.0.iter().take(at).any(|(earlier, _)| earlier == name) {
                let detail = format!("'{name}' is given more than once. Give it once.");
                return Err(Problem::new(ProblemKind::BadField, detail));
            }
        }
        Ok(fields)
    }

    /// Takes a field that must be there and be a text; `like` is an example of it.
    pub fn text(&mut self, name: &str, like: &str) -> Result<String, Problem> {
        let at = self.0.iter().position(|(given, _)| given == name);
        match at.map(|at| self.0.swap_remove(at).1) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(bad(format!("'{name}' is a text. Send {{\"{name}\": \"{like}\"}}."))),
            None => Err(bad(format!("'{name}' is missing. Send {{\"{name}\": \"{like}\"}}."))),
        }
    }

    /// Takes a field that is true or false, and false where it is missing.
    pub fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        let at = self.0.iter().position(|(given, _)| given == name);
        match at.map(|at| self.0.swap_remove(at).1) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => {
                Err(bad(format!("'{name}' is true or false. Send {{\"{name}\": true}}, or leave it out.")))
            }
        }
    }

    /// Takes a duration such as `30s` that must be there and lie within `least` and `most`.
    pub fn duration(&mut self, name: &str, least: Duration, most: Duration) -> Result<Duration, Problem> {
        let text = self.text(name, "30s")?;
        let time = humantime::parse_duration(&text).ok();
        time.filter(|time| (least..=most).contains(time)).ok_or_else(|| {
            let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
            bad(format!(
                "'{name}' is a duration with its unit from {least} to {most}, not '{}'. Send \
                 {{\"{name}\": \"30s\"}}.",
                shown(&text)
            ))
        })
    }
}

/// Fields in the order in which they stand, one that stands twice included.
impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(Object)
    }
}

/// A web page of another origin may send any body without being asked, but not with this type.
fn is_json(parts: &Parts) -> Result<(), Problem> {
    let sent = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = sent.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "The body of this request is JSON. Send it with Content-Type: application/json.";
    Err(Problem::new(ProblemKind::UnsupportedMediaType, detail))
}

fn bad_json(error: &serde_json::Error, known: &[&str]) -> Problem {
    let detail =
        format!("The body is no JSON object ({error}). Send one with these fields: {}.", known.join(", "));
    Problem::new(ProblemKind::BadJson, detail)
}

fn bad(detail: String) -> Problem {
    Problem::new(ProblemKind::BadField, detail)
}

/// The refusal of a long body in the words of this kind of body.
fn too_large(problem: Problem) -> Problem {
    if problem.kind != ProblemKind::ValueTooLarge {
        return problem;
    }
    let detail = format!("The body of this request has at most {JSON_BYTES_MAX} bytes. Send a shorter one.");
    Problem::new(ProblemKind::BodyTooLarge, detail)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> ProblemKind {
        let taken =
            Fields::parse(body.as_bytes(), &["peer"]).and_then(|mut fields| fields.text("peer", "n2"));
        taken.unwrap_err().kind
    }

    #[test]
    fn an_object_has_known_fields_each_given_once() {
        let mut fields = Fields::parse(b" {\"peer\": \"n2\"} ", &["peer"]).unwrap();
        assert_eq!(fields.text("peer", "n2").unwrap(), "n2");
        for body in ["", "{", "[]", "7", "null", "\"peer\"", "{\"peer\":\"a\"} x", "{\"peer\":}", "peer=n2"] {
            assert_eq!(refused(body), ProblemKind::BadJson, "{body}");
        }
        for body in ["{\"pear\":\"n2\"}", "{\"peer\":\"n2\",\"x\":1}", "{\"\":1}", "{\"Peer\":\"n2\"}"] {
            assert_eq!(refused(body), ProblemKind::UnknownField, "{body}");
        }
        for body in ["{}", "{\"peer\":7}", "{\"peer\":null}", "{\"peer\":\"a\",\"p\\u0065er\":\"b\"}"] {
            assert_eq!(refused(body), ProblemKind::BadField, "{body}");
        }
        assert_eq!(refused(&"[".repeat(1_000_000)), ProblemKind::BadJson);
    }

    #[test]
    fn a_duration_has_a_unit_and_bounds() {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(600));
        let read = |text: &str| {
            let body = serde_json::json!({ "isolate": text }).to_string();
            Fields::parse(body.as_bytes(), &["isolate"]).unwrap().duration("isolate", least, most)
        };
        for (text, seconds) in [("30s", 30), ("1s", 1), ("10m", 600), ("1m 30s", 90), ("1000ms", 1)] {
            assert_eq!(read(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for text in ["", "30", "0s", "999ms", "601s", "-1s", "1h", "99999999999999999999s", "s"] {
            assert_eq!(read(text).unwrap_err().kind, ProblemKind::BadField, "{text}");
        }
        assert!(read("").unwrap_err().detail.contains("from 1s to 10m"));
    }
}
