//! `overdue`: deletions that take too long.

mod overdue;
