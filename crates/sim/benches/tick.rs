//! What a tick costs.
fn main() {
    divan::main();
}
