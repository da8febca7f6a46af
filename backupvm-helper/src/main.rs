//! `nacre-helper serve --base DIR... [--append-only]`: speaks the wire protocol on stdin and stdout.

fn main() -> std::process::ExitCode {
    nacre_helper::main()
}
