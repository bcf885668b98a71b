package forge

import "time"

const (
	// GitHub documents 65,536 characters. It takes four times as many bytes, which
	// it says nowhere; bytes are never fewer than characters.
	gitHubLimit = 65_536
	// GitLab documents 1,000,000 characters of a note and of a description.
	gitLabLimit = 1_000_000
	// A title has 256 characters on GitHub, 255 on GitLab.
	titleLimit = 255

	pageSize = 100
	// maxPages bounds a list. GitHub allows 2,500 comments; of issues only our own
	// are asked for.
	maxPages = 100
	// largestItem bounds one comment or issue, and any answer that is no list. A
	// note of 1,000,000 characters has 12 MB if each is written as two escapes.
	// Lists are read an item at a time, so this is also what memory a list takes.
	largestItem = 16 << 20
	// largestPage bounds a page: 100 comments of 262,144 bytes, each written as an
	// escape, are 157 MB.
	largestPage = 256 << 20
	// largestRefusal bounds what is read of an answer that is an error.
	largestRefusal = 64 << 10

	// tries is how often a request that may be repeated is sent.
	tries = 4
	// patience is how long one Forge waits in all, for a forge that told it to or
	// that has a bad moment.
	patience = time.Minute
	// backoff is the first wait after a failure; each further one is twice as long.
	backoff = time.Second
	// slowest is how long one request may take.
	slowest = time.Minute
)
