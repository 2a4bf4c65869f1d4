package yurthub

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	restwatch "k8s.io/client-go/rest/watch"
)

const (
	jsonType  = "application/json"
	protoType = "application/vnd.kubernetes.protobuf"
)

// body is a response's body with its request. client-go's own code reads and writes bodies here.
type body struct {
	target      string
	contentType string
	bytes       []byte
}

func (b *body) isWatch() bool { return strings.Contains(b.target, "watch=true") }

func (b *body) serializer() (runtime.SerializerInfo, error) {
	mediaType, _, _ := strings.Cut(b.contentType, ";")
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
	if !ok {
		return info, fmt.Errorf("nothing reads %s", b.contentType)
	}
	return info, nil
}

// write makes the body: of the items of a list of the version, or of a watch's events.
func (b *body) write(version schema.GroupVersion, events []watch.Event) error {
	info, err := b.serializer()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	encoder := scheme.Codecs.EncoderForVersion(info.Serializer, version)
	if b.isWatch() {
		frames := streaming.NewEncoder(
			info.StreamSerializer.Framer.NewFrameWriter(&out),
			info.StreamSerializer.Serializer,
		)
		writer := restwatch.NewEncoder(frames, encoder)
		for i := range events {
			err = errors.Join(err, writer.Encode(&events[i]))
		}
	} else {
		list, _ := scheme.Scheme.New(version.WithKind("EndpointSliceList"))
		list.(metav1.ListMetaAccessor).GetListMeta().SetResourceVersion("1000")
		var items []runtime.Object
		for _, event := range events {
			items = append(items, event.Object)
		}
		err = errors.Join(meta.SetList(list, items), encoder.Encode(list, &out))
	}
	b.bytes = out.Bytes()
	return err
}

// read gives what a client would get of these bytes in the body's place. The items of a list are
// events without a type.
func (b *body) read(from []byte) ([]watch.Event, error) {
	info, err := b.serializer()
	if err != nil {
		return nil, err
	}
	var events []watch.Event
	if b.isWatch() {
		frames := info.StreamSerializer.Framer.NewFrameReader(io.NopCloser(bytes.NewReader(from)))
		reader := restwatch.NewDecoder(
			streaming.NewDecoder(frames, info.StreamSerializer.Serializer),
			info.Serializer,
		)
		for {
			kind, object, err := reader.Decode()
			if err == io.EOF {
				return events, nil
			}
			if err != nil {
				return nil, err
			}
			events = append(events, watch.Event{Type: kind, Object: object})
		}
	}
	list, _, err := info.Serializer.Decode(from, nil, nil)
	if err != nil {
		return nil, err
	}
	items, err := meta.ExtractList(list)
	for _, item := range items {
		events = append(events, watch.Event{Object: item})
	}
	return events, err
}
