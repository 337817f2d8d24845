//! Says where there are walls: `cfg(walls)` is Linux on the architectures that `process::launch::raw` speaks.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(walls)");
    println!("cargo::rerun-if-changed=build.rs");
    let target = |name: &str| std::env::var(name).unwrap_or_default();
    let is_known = matches!(&*target("CARGO_CFG_TARGET_ARCH"), "x86_64" | "aarch64");
    if target("CARGO_CFG_TARGET_OS") == "linux" && is_known {
        println!("cargo::rustc-cfg=walls");
    }
}
