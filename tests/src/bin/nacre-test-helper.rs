//! `nacre-helper` under a name of its own, so that cargo builds it with the tests.

fn main() -> std::process::ExitCode {
    nacre_helper::main()
}
