typedef int radics_placeholder;
