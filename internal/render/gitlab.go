package render

import "io"

type gitlabIssue struct {
	Description string         `json:"description"`
	CheckName   string         `json:"check_name"`
	Fingerprint string         `json:"fingerprint"`
	Severity    string         `json:"severity"`
	Location    gitlabLocation `json:"location"`
}

type gitlabLocation struct {
	Path  string      `json:"path"`
	Lines gitlabLines `json:"lines"`
}

type gitlabLines struct {
	Begin int `json:"begin"`
}

// GitLab writes a report as a Code Quality document of GitLab: a list, [] for
// nothing found. The only errors are the sink's.
func GitLab(w io.Writer, rep *Report, o ReportOptions) error {
	list := []gitlabIssue{}
	for i := range rep.Findings {
		f := &rep.Findings[i]
		file, line, _ := o.place(f)
		list = append(list, gitlabIssue{
			Description: f.paragraphs(" "),
			CheckName:   Sanitize(f.Rule),
			Fingerprint: f.Key,
			Severity:    gitlabSeverity(f.Level),
			Location:    gitlabLocation{Sanitize(file), gitlabLines{line}},
		})
	}
	return JSON(w, list)
}

func gitlabSeverity(l Level) string {
	switch l {
	case LevelError:
		return "critical"
	case LevelWarning:
		return "major"
	}
	return "info"
}
