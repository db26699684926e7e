//! Tells the linker in which order functions come in the program: `tools/order.ld`, which `make order` writes.

use std::env;

fn main() {
    const ORDER: &str = "tools/order.ld";
    println!("cargo::rerun-if-changed={ORDER}");
    let root = env::var("CARGO_MANIFEST_DIR").expect("Cargo says where the package is");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{root}/{ORDER}");
}
