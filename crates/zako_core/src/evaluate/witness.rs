pub(crate) enum Check { Same, Unknown }
