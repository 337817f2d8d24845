//! The messages, with the names that Bazel gives their fields (`worker_protocol.proto`, as JSON).

use serde::{Deserialize, Serialize};

/// What a worker is asked to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkRequest {
    /// The arguments of this piece of work.
    pub arguments: Vec<String>,
    /// What it may read.
    #[serde(default)]
    pub inputs: Vec<WorkInput>,
    /// Which request this is; zero for a worker that does one at a time.
    #[serde(default)]
    pub request_id: i32,
    /// The folder, relative to the worker's own, that all paths of this request are relative to; empty for the worker's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox_dir: String,
    /// Stop working on the request of this number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
}

/// A file that a request may read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkInput {
    /// Its path, relative to the worker's folder.
    pub path: String,
    /// Its content, as text; another text for another content.
    pub digest: String,
}

/// What a worker answers. Fields that are zero or empty may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkResponse {
    /// As a process would have ended.
    pub exit_code: i32,
    /// What people should see.
    pub output: String,
    /// Which request this answers.
    pub request_id: i32,
    /// Whether it was cancelled before it was done.
    pub was_cancelled: bool,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn messages_look_as_bazel_writes_them() {
        let request = WorkRequest {
            arguments: vec!["-o".into(), "a".into()],
            inputs: vec![WorkInput {
                path: "b".into(),
                digest: "c".into(),
            }],
            request_id: 3,
            ..WorkRequest::default()
        };
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"arguments":["-o","a"],"inputs":[{"path":"b","digest":"c"}],"requestId":3}"#
        );
        let apart = WorkRequest {
            sandbox_dir: "7".into(),
            ..WorkRequest::default()
        };
        assert_eq!(
            serde_json::to_string(&apart).unwrap(),
            r#"{"arguments":[],"inputs":[],"requestId":0,"sandboxDir":"7"}"#
        );
        let response: WorkResponse =
            serde_json::from_str(r#"{"requestId": 3, "output": "x", "new": 1}"#).unwrap();
        assert_eq!((response.request_id, response.exit_code), (3, 0));
        assert!(!response.was_cancelled);
    }
}
