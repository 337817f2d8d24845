//! The numbers of kept nodes, in one place. A contract: a number is never used for something else, and one that is
//! given up stays here as a comment. Those from 32 on belong to execution.

use zako_graph::archive::Kind;

/// A file's text ([`SourceText`](super::leaf::SourceText)).
pub(crate) const SOURCE_TEXT: Kind = Kind::leaf(1);
/// A folder's entries ([`Listing`](super::leaf::Listing)).
pub(crate) const LISTING: Kind = Kind::leaf(2);
/// Whether there is a file ([`FileThere`](super::leaf::FileThere)).
pub(crate) const FILE_THERE: Kind = Kind::leaf(3);
/// An option of the invocation ([`ConfigValue`](super::leaf::ConfigValue)).
pub(crate) const CONFIG_VALUE: Kind = Kind::leaf(4);
/// An answer of the embedder's ([`HostAnswer`](super::leaf::HostAnswer)).
pub(crate) const HOST_ANSWER: Kind = Kind::leaf(5);
/// The manifest's folders to leave alone ([`Ignored`](super::leaf::Ignored)).
pub(crate) const IGNORED: Kind = Kind::leaf(6);
/// Where a program is ([`ProgramPath`](super::machine::ProgramPath)).
pub(crate) const PROGRAM_PATH: Kind = Kind::leaf(7);
/// What a program answers ([`ProgramAnswer`](super::machine::ProgramAnswer)).
pub(crate) const PROGRAM_ANSWER: Kind = Kind::leaf(8);
/// Where something is that a toolchain fetches ([`Shelved`](super::shelved::Shelved)).
pub(crate) const SHELVED: Kind = Kind::leaf(13);
/// The files that the manifest registers ([`Registered`](super::leaf::Registered)).
pub(crate) const REGISTERED: Kind = Kind::leaf(9);
/// A variable of the environment of whoever builds ([`Variable`](super::leaf::Variable)).
pub(crate) const VARIABLE: Kind = Kind::leaf(12);

/// The packages below a folder ([`PackageList`](super::leaf::PackageList)).
pub(crate) const PACKAGE_LIST: Kind = Kind::inner(1);
/// What a glob matches ([`Globbed`](super::glob::Globbed)).
pub(crate) const GLOBBED: Kind = Kind::inner(2);
/// A transpiled script ([`ModuleFile`](super::module::ModuleFile)).
pub(crate) const MODULE_FILE: Kind = Kind::inner(3);
/// A package ([`Package`](super::package::Package)).
pub(crate) const PACKAGE: Kind = Kind::inner(4);
/// What a package's importers see ([`PackageExports`](super::package::PackageExports)).
pub(crate) const PACKAGE_EXPORTS: Kind = Kind::inner(5);
/// What a rule module needs to run ([`RuleModule`](crate::target::RuleModule)).
pub(crate) const RULE_MODULE: Kind = Kind::inner(6);
/// The fingerprint of a rule module's code ([`RuleCode`](crate::target::RuleCode)).
pub(crate) const RULE_CODE: Kind = Kind::inner(7);
/// The toolchains of one type in a module ([`Toolchains`](super::toolchain::Toolchains)).
pub(crate) const TOOLCHAINS: Kind = Kind::inner(8);
/// The toolchain that serves for a type ([`ToolchainFor`](super::toolchain::ToolchainFor)).
pub(crate) const TOOLCHAIN_FOR: Kind = Kind::inner(9);
/// The modules that are registered for their toolchains ([`Registrations`](super::toolchain::Registrations)).
pub(crate) const REGISTRATIONS: Kind = Kind::inner(15);
/// What a configuration file declares ([`ConfigFile`](super::config::ConfigFile)).
pub(crate) const CONFIG_FILE: Kind = Kind::inner(12);
/// A package with the options that it reads ([`PackageGiven`](super::package::PackageGiven)).
pub(crate) const PACKAGE_GIVEN: Kind = Kind::inner(14);
/// The module that makes a folder a package ([`PackageModule`](super::leaf::PackageModule)).
pub(crate) const PACKAGE_MODULE: Kind = Kind::inner(13);
