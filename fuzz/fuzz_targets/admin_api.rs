//! What dom0 reads of qubesd's answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nacre::admin::check_answers;

fuzz_target!(|bytes: &[u8]| check_answers(bytes));
