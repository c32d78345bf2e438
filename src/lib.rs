//! N-API shell: convert, forward, deliver.
