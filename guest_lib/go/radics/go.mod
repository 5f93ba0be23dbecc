module radics

go 1.19
