//! The Remote Execution API v2 messages that keys and results are made of.
//!
//! Field numbers are those of `build/bazel/remote/execution/v2/remote_execution.proto`; fields
//! that zako leaves at their defaults are not here, which encodes the same.

pub use zako_cas::reapi::Digest;

/// `Command`: what is run, with which environment, and which outputs are wanted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Command {
    /// The words.
    #[prost(string, repeated, tag = "1")]
    pub arguments: Vec<String>,
    /// The whole environment, sorted by name.
    #[prost(message, repeated, tag = "2")]
    pub environment_variables: Vec<EnvironmentVariable>,
    /// Relative to the input root; always empty.
    #[prost(string, tag = "6")]
    pub working_directory: String,
    /// Files and directories that must be there at the end; sorted, each once.
    #[prost(string, repeated, tag = "7")]
    pub output_paths: Vec<String>,
}

/// `Command.EnvironmentVariable`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EnvironmentVariable {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `Action`: a command over an input root.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Action {
    /// The `Command`.
    #[prost(message, optional, tag = "1")]
    pub command_digest: Option<Digest>,
    /// The root `Directory`.
    #[prost(message, optional, tag = "2")]
    pub input_root_digest: Option<Digest>,
    /// The longest that it may run.
    #[prost(message, optional, tag = "6")]
    pub timeout: Option<Duration>,
    /// Whether its result must not be cached.
    #[prost(bool, tag = "7")]
    pub do_not_cache: bool,
    /// An encoded `Salt` (see `key.rs`): what tells results apart and is none of the above.
    #[prost(bytes = "vec", tag = "9")]
    pub salt: Vec<u8>,
    /// What the worker must be; never set by a local key.
    #[prost(message, optional, tag = "10")]
    pub platform: Option<Platform>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Duration {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The rest in nanoseconds.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl From<std::time::Duration> for Duration {
    fn from(d: std::time::Duration) -> Self {
        Self {
            seconds: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(d.subsec_nanos()).unwrap_or(0),
        }
    }
}

impl From<Duration> for std::time::Duration {
    /// A negative one, which zako never writes, becomes zero.
    fn from(d: Duration) -> Self {
        Self::from_secs(u64::try_from(d.seconds).unwrap_or(0))
            .saturating_add(Self::from_nanos(u64::try_from(d.nanos).unwrap_or(0)))
    }
}

/// `Platform`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Platform {
    /// Sorted by name, then value.
    #[prost(message, repeated, tag = "1")]
    pub properties: Vec<Property>,
}

/// `Platform.Property`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Property {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `ActionResult`: what an action left.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ActionResult {
    /// Files.
    #[prost(message, repeated, tag = "2")]
    pub output_files: Vec<OutputFile>,
    /// Directories.
    #[prost(message, repeated, tag = "3")]
    pub output_directories: Vec<OutputDirectory>,
    /// How the process ended.
    #[prost(int32, tag = "4")]
    pub exit_code: i32,
    /// Standard output.
    #[prost(message, optional, tag = "6")]
    pub stdout_digest: Option<Digest>,
    /// Standard error.
    #[prost(message, optional, tag = "8")]
    pub stderr_digest: Option<Digest>,
    /// Symbolic links.
    #[prost(message, repeated, tag = "12")]
    pub output_symlinks: Vec<OutputSymlink>,
}

/// `OutputFile`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OutputFile {
    /// Relative to the input root.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Its content.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<Digest>,
    /// Whether it has the executable bit.
    #[prost(bool, tag = "4")]
    pub is_executable: bool,
}

/// `OutputDirectory`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OutputDirectory {
    /// Relative to the input root.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Its root `Directory`.
    #[prost(message, optional, tag = "5")]
    pub root_directory_digest: Option<Digest>,
}

/// `OutputSymlink`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OutputSymlink {
    /// Relative to the input root.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Its target as written.
    #[prost(string, tag = "2")]
    pub target: String,
}
