//! Checks vectors from standard input, as `peers/` makes them with Go: `go run ./peers | check-vectors`.

#[path = "../tests/all/check/mod.rs"]
mod check;

fn main() -> std::io::Result<()> {
    let json = std::io::read_to_string(std::io::stdin())?;
    let cases = check::check(&json);
    assert!(cases > 0, "there are no vectors");
    println!("{cases} vectors hold");
    Ok(())
}
