//! Turns the built client (`client/dist`, made by `make web`) into code that carries its files, compressed once here.
//!
//! Without a build, a page that says how to get one takes its place, so that everything else still compiles.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

const PLACEHOLDER: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>Rally</title>
<h1>The page is not built</h1>
<p>This program was compiled without its web client. Run <code>make web</code>, then build it again.</p>
</html>
";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names OUT_DIR"));
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("client");
    let dist = client.join("dist");

    let built = dist.join("index.html").is_file();
    let pages = if built { dist.clone() } else { placeholder(&out) };
    if built {
        // A directory counts as changed when any file below it is.
        println!("cargo::rerun-if-changed={}", dist.display());
    } else {
        println!("cargo::warning=the web client is not built: run `make web` for the real page");
        // The build will appear in here. (A path that is missing would count as changed at each build.)
        println!("cargo::rerun-if-changed={}", client.display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let assets = memory_serve::assets_to_code(&pages.to_string_lossy(), &pages, &out, true, |_| {});
    let code = format!("&[(\"client\", {assets})]");
    fs::write(out.join("memory_serve_assets.rs"), code).expect("OUT_DIR can be written");
}

fn placeholder(out: &Path) -> PathBuf {
    let folder = out.join("placeholder");
    fs::create_dir_all(&folder).expect("OUT_DIR can be written");
    fs::write(folder.join("index.html"), PLACEHOLDER).expect("OUT_DIR can be written");
    folder
}
