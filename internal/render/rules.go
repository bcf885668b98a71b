package render

import (
	"slices"
	"strings"
)

// Rule is a kind of finding.
type Rule struct {
	ID    string // a contract: docs/formats.md lists them
	Name  string
	About string // one line
	Help  string // what to do; no link, since it is shown where links would be followed
	Level Level  // that of most of its findings
}

// The rules that this package makes findings of. Others, such as those of a
// policy pack, have their name for an ID.
const (
	RuleConflict        = "conflict"
	RuleUnknown         = "unknown"
	RuleError           = "error"
	RuleUndeclaredGrant = "undeclared-grant"
	RuleGrantAdded      = "grant-added"
	RuleGrantRemoved    = "grant-removed"
	RuleDelete          = "delete"
	RuleDeleteField     = "delete-field"
	RuleNewValue        = "new-value"
	RuleRotationOverdue = "rotation-overdue"
	RuleCheckFailed     = "check-failed"
	RuleWarning         = "warning"
	RuleApplyFailed     = "apply-failed"
	RuleApplySkipped    = "apply-skipped"

	// ruleDrift is before the kind of a drift, grants excepted.
	ruleDrift = "drift-"
)

// rules lists them, most important first within a level.
func rules() []Rule {
	const look = "Look at who changed it. Then coffer accept keeps the live version, coffer restore writes the recorded one again, coffer rotate makes a new value."
	return []Rule{
		{RuleError, "Error", "Nothing can be applied while this stands.", "Mend the configuration at this place and plan again.", LevelError},
		{RuleConflict, "Conflict", "What is live is not what was recorded, so nothing is written here until a person decides.", look, LevelError},
		{RuleApplyFailed, "ApplyFailed", "A change of the plan could not be made.", "Do what the message says and run coffer apply again: it goes on from there.", LevelError},
		{RuleApplySkipped, "ApplySkipped", "A change of the plan was not tried, since another one that it needs was not made.", "Mend that one and run coffer apply again.", LevelError},
		{"drift-changed", "ChangedOutside", "Somebody wrote another version.", look, LevelError},
		{"drift-missing", "Missing", "The secret is gone from its store.", "Find out who deleted it. coffer restore brings it back where the store keeps it; the next apply makes it anew where that is allowed.", LevelError},
		{RuleUndeclaredGrant, "UndeclaredGrant", "Something that nobody declared can read managed secrets.", "Declare it in the configuration, or take it away from the store.", LevelError},
		{RuleGrantAdded, "GrantAdded", "Somebody gave a reader access.", "Declare the reader in the configuration, or let the next apply take the access away.", LevelError},
		{RuleUnknown, "Unknown", "Could not be told, so nothing is written, made or deleted here.", "Run coffer doctor: it says what is unreachable or which permission is missing.", LevelWarning},
		{"drift-unknown", "DriftUnknown", "Whether it changed could not be told.", "Run coffer doctor: it says what is unreachable or which permission is missing.", LevelWarning},
		{RuleDelete, "Delete", "The plan deletes this.", "Check that nothing reads it any more. A removed block says in the configuration that the delete is meant.", LevelWarning},
		{RuleDeleteField, "DeleteField", "The secret stays, a value in it is deleted.", "Check that nothing reads the field any more.", LevelWarning},
		{RuleNewValue, "NewValue", "The old value is gone or cannot be kept, and another is made.", "Check that whoever uses the old value can take the new one.", LevelWarning},
		{"drift-superseded", "Superseded", "The store shows an older version than the recorded one.", look, LevelWarning},
		{"drift-document", "DocumentChanged", "Somebody changed a text that was declared, such as a policy.", "Take the change over into the configuration, or let the next apply write the declared text again.", LevelWarning},
		{"drift-not-synced", "NotSynced", "A controller of the cluster could not use what an apply gave it, or has not looked at it yet.", "Do what the controller's message says. kubectl describe shows the whole of it.", LevelWarning},
		{RuleGrantRemoved, "GrantRemoved", "Somebody took a reader's access away.", "Remove the reader from the configuration, or let the next apply give the access again.", LevelWarning},
		{"drift-metadata", "MetadataChanged", "Labels, description or our mark were changed.", "Let the next apply write them again; coffer accept makes a secret ours again.", LevelWarning},
		{RuleRotationOverdue, "RotationOverdue", "A rotation is due and waits.", "Run coffer apply in the window of the rotation, or coffer rotate; write a value that a person supplies with coffer secret set.", LevelWarning},
		{RuleCheckFailed, "CheckFailed", "A check of the configuration does not hold. Checks inform and stop nothing.", "The message of the check says what it asks for.", LevelWarning},
		{RuleWarning, "Warning", "Nothing stops, but it may not do what was meant.", "Read what it says at this place of the configuration.", LevelWarning},
		{"drift-orphan", "Orphan", "It carries our mark, and neither configuration nor state knows it.", "Import it, or delete it with coffer purge.", LevelNotice},
	}
}

// RuleOf returns the rule with an ID. One that this package does not know is of
// the policy pack, and its ID is its name.
func RuleOf(id string, level Level) Rule {
	all := rules()
	if i := slices.IndexFunc(all, func(r Rule) bool { return r.ID == id }); i >= 0 {
		return all[i]
	}
	return Rule{
		id, id, "A rule of the policy pack: " + strings.ReplaceAll(id, "_", " ") + ".",
		"Mend the configuration at this place, or say in the policy pack what the rule is to be.", level,
	}
}
