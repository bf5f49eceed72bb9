// The journey of tests/sdk with openapi-generator's Go client: journey URL
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"

	podberth "podberth"
)

func must(err error) {
	if err != nil {
		var api *podberth.GenericOpenAPIError
		if errors.As(err, &api) {
			err = fmt.Errorf("%w: %s", err, api.Body())
		}
		panic(err)
	}
}

func expect(ok bool, seen any) {
	if !ok {
		panic(fmt.Sprintf("unexpected: %+v", seen))
	}
}

func parsed[T any](text string) T {
	var value T
	must(json.Unmarshal([]byte(text), &value))
	return value
}

func main() {
	config := podberth.NewConfiguration()
	config.Servers = podberth.ServerConfigurations{{URL: os.Args[1]}}
	client, ctx := podberth.NewAPIClient(config), context.Background()

	// Stores a node, and a pod with fields that the scheduler does not read.
	node, _, err := client.StateAPI.CreateNode(ctx).Node(parsed[podberth.Node](
		`{"metadata": {"name": "node-a"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}}`)).Execute()
	must(err)
	expect(node.Metadata.GetUid() != "", node)
	whole := `{"metadata": {"name": "web", "namespace": "default"}, "spec": {"dnsPolicy": "Default", "containers": [
		{"name": "main", "image": "example/web:1", "env": [{"name": "A", "value": "b"}], "resources": {"requests": {"cpu": "1"}}}]}}`
	_, _, err = client.StateAPI.CreatePod(ctx, "default").Pod(parsed[podberth.Pod](whole)).Execute()
	must(err)

	// Reads it, changes a label, sends it back: nothing is lost.
	pod, _, err := client.StateAPI.ReadPod(ctx, "default", "web").Execute()
	must(err)
	pod.Metadata.SetLabels(map[string]string{"app": "web"})
	_, _, err = client.StateAPI.ReplacePod(ctx, "default", "web").Pod(*pod).Execute()
	must(err)
	stored, _, err := client.StateAPI.ReadPod(ctx, "default", "web").Execute()
	must(err)
	expect(stored.Spec.AdditionalProperties["dnsPolicy"] == "Default", stored.Spec)
	env := []any{map[string]any{"name": "A", "value": "b"}}
	expect(reflect.DeepEqual(stored.Spec.Containers[0].AdditionalProperties["env"], env), stored.Spec.Containers)
	expect(stored.Metadata.GetLabels()["app"] == "web", stored.Metadata)

	// Sets a typed policy, filters, schedules.
	document := podberth.NewPolicyDocument()
	priority := podberth.NewPriorityPolicy("LeastRequestedPriority")
	priority.SetWeight(1)
	document.SetPriorities([]podberth.PriorityPolicy{*priority})
	active, _, err := client.PolicyAPI.ReplacePolicy(ctx).PolicyDocument(*document).Execute()
	must(err)
	expect(active.Revision == 1, active)
	args := parsed[podberth.ExtenderArgs](`{"Pod": ` + whole + `, "NodeNames": ["node-a", "node-b"]}`)
	answer, _, err := client.ExtenderAPI.FilterNodes(ctx).ExtenderArgs(args).Execute()
	must(err)
	expect(reflect.DeepEqual(answer.NodeNames, []string{"node-a"}), answer)
	report, _, err := client.DecisionsAPI.SchedulePods(ctx).ScheduleRequest(
		parsed[podberth.ScheduleRequest](`{"podNames": ["default/web"]}`)).Execute()
	must(err)
	expect(report.Pods[0].GetNode() == "node-a", report)

	// Reads errors as values of a type.
	_, _, err = client.StateAPI.ReadPod(ctx, "default", "nobody").Execute()
	var api *podberth.GenericOpenAPIError
	expect(errors.As(err, &api), err)
	status, typed := api.Model().(podberth.Status)
	expect(typed && status.GetReason() == "NotFound" && status.GetCode() == 404, api.Model())
	_, _, err = client.StateAPI.CreateNode(ctx).Node(parsed[podberth.Node](
		`{"metadata": {"name": "broken"}, "status": {"allocatable": {"cpu": "-1"}}}`)).Execute()
	expect(errors.As(err, &api), err)
	status, typed = api.Model().(podberth.Status)
	expect(typed && status.GetCode() == 422 && len(status.Details.Causes) > 0, api.Model())
	fmt.Println("openapi-generator, Go: as expected")
}
